#pragma once

#include <csignal>
#include <memory>
#include <optional>
#include <string>

#include "core/evaluate/evaluator.h"
#include "core/evaluate/image_results.h"
#include "core/train/evaluation_files.h"
#include "core/train/run_observer.h"
#include "core/train/run_reporter.h"
#include "core/train/run_saver.h"
#include "core/train/run_setup.h"
#include "core/train/validation_times.h"

namespace residua {

/// The parts of a run. All references must outlive the trainer.
struct TrainerSetup {
  Network& network;
  const RunConfig& config;  // with its recipe applied
  Device device;
  DType precision;
  RunData data;  // validation and test may be null
  const RunFolder& folder;
  RunObserver& observer;
  std::string checkpoint = {};  // to resume from; empty: a new run
};

/// A training run: epochs, validations, reports, and a checkpoint with each validation. A test set, if any, is evaluated once,
/// at the end.
class Trainer {
 public:
  /// Sets the network up with initial weights or those of the checkpoint. Fails with UsageError on incompatible settings and on
  /// a checkpoint of another run.
  explicit Trainer(const TrainerSetup& setup);

  /// Trains to the end and returns 0. If `stop` becomes nonzero (a signal number), saves the state and returns that number.
  /// Throws Diverged, which says where it began, if training diverges and the settings do not let it go back to a checkpoint.
  int train(const volatile std::sig_atomic_t& stop);

  /// Images trained per epoch.
  int64_t epoch_images() const { return loader_->samples(); }
  ParameterStore& store() { return training_.store(); }

 private:
  int train_to_end(const volatile std::sig_atomic_t& stop);
  bool validation_due() const;
  /// Trains to the end of the current epoch; stops early at the end of the run or on `stop`.
  void train_epoch(const volatile std::sig_atomic_t& stop);
  void train_batch(const Batch& batch);
  void report_steps(double rate);
  /// The last validation also writes evaluation.json and pictures of the worst images.
  void validate_and_save(const volatile std::sig_atomic_t& stop);
  /// After the last step, replaces the running batch-norm statistics by exact ones if the settings say so. Returns false on
  /// `stop`, having changed nothing.
  bool make_statistics_exact(const volatile std::sig_atomic_t& stop);
  struct Evaluation {
    Metrics metrics;
    double seconds = 0;
  };
  /// Evaluates a set of images; returns nothing on `stop`.
  std::optional<Evaluation> evaluate(EvaluationLoader& loader, const volatile std::sig_atomic_t& stop,
                                     Evaluator::Observers observers = {});
  /// The last weights on the validation set.
  Evaluated evaluated() const;
  void test(const volatile std::sig_atomic_t& stop);
  /// Saves the state between two steps, if the run has made any, and reports it.
  void save_unfinished(const char* what);
  /// Returns what `read` returns. If it throws, saves the state first: between steps it is consistent, whatever the loader's
  /// error.
  template <class Read>
  auto saved_if_it_fails(const Read& read);
  /// Metrics of the steps since the last report; also passes them to the schedule. Throws Diverged if too many steps in a row
  /// were skipped.
  Metrics unreported();
  /// A reporter whose log goes on at an iteration; -1: a new log.
  std::unique_ptr<RunReporter> make_reporter(int64_t resumed_at) const;
  /// The state right after the step at which training diverged; the current one if another number was not finite.
  RunState failed_state();
  /// Runs that step again, to say where its numbers stop being finite.
  std::string where_it_began(const RunState& failed);
  /// Goes back to the last checkpoint, and on with the data after the failed step.
  void roll_back(const RunState& failed, const std::string& what);

  const RunConfig& config_;
  RunData data_;
  const RunFolder& folder_;
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
  MetricsTotals told_;  // the part of the unreported totals that the schedule already knows
};

}  // namespace residua
