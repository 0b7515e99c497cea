#pragma once

#include <csignal>
#include <memory>
#include <optional>
#include <string>

#include "core/evaluate/evaluator.h"
#include "core/train/run_observer.h"
#include "core/train/run_reporter.h"
#include "core/train/run_saver.h"
#include "core/train/run_setup.h"
#include "core/train/validation_times.h"

namespace residua {

/// What a run is made of, besides its settings. All but the sources must outlive the trainer.
struct TrainerSetup {
  Network& network;
  const RunConfig& config;  // with its recipe applied
  Device device;
  DType precision;
  RunData data;  // validation and test may be null
  const RunFolder& folder;
  RunObserver& observer;
  std::string checkpoint = {};  // to go on from; empty: a new run
};

/// A training run: epochs over a loader, validations, reports, and a checkpoint with each validation. Where there is a test
/// set, it is evaluated once, at the end.
class Trainer {
 public:
  /// Lays the network out and gives it its first weights, or those of the checkpoint. Fails with UsageError on settings that do
  /// not go together and on a checkpoint of another run.
  explicit Trainer(const TrainerSetup& setup);

  /// Trains to the end, or until `stop` is not 0 (a signal's number): then the state is saved and the number returned.
  /// Otherwise 0.
  int train(const volatile std::sig_atomic_t& stop);

  /// Images that an epoch trains.
  int64_t epoch_images() const { return loader_->samples(); }
  ParameterStore& store() { return training_.store(); }

 private:
  bool validation_due() const;
  /// One pass over the training set, from where it stands; ends early at the run's end or on `stop`.
  void train_epoch(const volatile std::sig_atomic_t& stop);
  void train_batch(const Batch& batch);
  void report_steps(double rate);
  void validate_and_save(const volatile std::sig_atomic_t& stop);
  /// The metrics of a set of images, which are reported; nothing on `stop`.
  std::optional<Metrics> evaluate(EvaluationLoader& loader, const volatile std::sig_atomic_t& stop);
  void test(const volatile std::sig_atomic_t& stop);
  /// Saves between two steps, where there is something to save.
  void save_unfinished(const char* what);
  /// What `read` returns. Whatever a loader meets, the state between two steps is sound, and saved before the error goes on.
  template <class Read>
  auto saved_if_it_fails(const Read& read);
  /// Of the steps since the last report, which the schedule is told of. Fails when their loss is not finite: the weights are
  /// lost then, and must not be saved.
  Metrics unreported();

  const RunConfig& config_;
  RunObserver& observer_;
  Training training_;
  Evaluator evaluator_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<EvaluationLoader> validation_loader_;  // null: no validation
  std::unique_ptr<EvaluationLoader> clean_loader_;       // null: no clean training images
  std::unique_ptr<EvaluationLoader> test_loader_;        // null: no test
  RunLength length_;
  ValidationTimes validations_;
  std::unique_ptr<Schedule> schedule_;
  RunSaver saver_;
  RunState state_;
  std::unique_ptr<RunReporter> report_;
  MetricsTotals told_;  // of the steps since the last report, those that the schedule knows of
};

}  // namespace residua
