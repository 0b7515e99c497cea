#pragma once

#include <csignal>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/distributed/communicator.h"
#include "core/evaluate/evaluator.h"
#include "core/evaluate/image_results.h"
#include "core/train/auto_threads.h"
#include "core/train/checkpoint_times.h"
#include "core/train/evaluation_files.h"
#include "core/train/run_observer.h"
#include "core/train/run_reporter.h"
#include "core/train/run_saver.h"
#include "core/train/run_setup.h"
#include "core/train/step_trace.h"
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
  Communicator* ranks = nullptr;                       // that train together; null: this process alone
  std::string checkpoint = {};                         // to resume from; empty: a new run
  std::vector<ChangedSetting> changes = {};            // since that checkpoint's run
  volatile std::sig_atomic_t* save_request = nullptr;  // nonzero: save once and go on
};

/// A training run: epochs, validations, reports, and a checkpoint with each validation and in between. A test set, if any, is
/// evaluated once, at the end.
///
/// Several ranks make the same calls. One of them writes the run's files; the others have a folder and an observer that do
/// nothing.
class Trainer {
 public:
  /// Sets the network up with initial weights or those of the checkpoint. Fails with UsageError on incompatible settings and on
  /// a checkpoint of another run.
  explicit Trainer(const TrainerSetup& setup);

  /// Trains to the end and returns 0. If `stop` becomes nonzero (a signal number), saves the state and returns that number. A
  /// save that fails does not end the run; only if the last one fails too, throws Error. Throws Diverged, which says where it
  /// began, if training diverges and the settings do not let it go back to a checkpoint.
  int train(const volatile std::sig_atomic_t& stop);

  /// Images trained per epoch.
  int64_t epoch_images() const { return loader_->samples(); }
  ParameterStore& store() { return training_.store(); }

 private:
  int train_to_end(const volatile std::sig_atomic_t& stop);
  /// Reports what differs from the run that made the checkpoint.
  void report_changes(const Machine& now, const std::vector<ChangedSetting>& changes);
  /// What the ranks do after a step, whichever of them was asked to.
  struct Wishes {
    int stop = 0;       // the number of a signal, or 0
    bool save = false;  // whether somebody asked for it, or the time for it has come
  };
  /// Sets wishes_, and reports what ranks could not read. All ranks must call this together.
  void agree(const volatile std::sig_atomic_t& stop);
  /// Checks that all ranks have the same network and data, and gives all the weights of rank 0.
  void share_first_state();
  /// Goes on from a checkpoint.
  void resume(const std::string& checkpoint);
  /// Reports the bad images that are new to all ranks, which must call this together. Fails on all of them above the limit.
  void report_skipped_images(DataErrors& errors);
  /// Notes how many images of all ranks were replaced.
  void report_replaced_images();
  bool validation_due() const;
  /// Trains to the end of the current epoch; stops early at the end of the run or on `stop`.
  void train_epoch(const volatile std::sig_atomic_t& stop);
  void train_batch(const Batch& batch);
  /// Changes the number of compute threads if that makes steps faster. `seconds` is the time of the last step.
  void adapt_threads(double seconds);
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
  std::optional<Evaluation> evaluate(const EvaluationPart& part, const volatile std::sig_atomic_t& stop,
                                     Evaluator::Observers observers = {});
  /// The last weights on the validation set.
  Evaluated evaluated() const;
  void test(const volatile std::sig_atomic_t& stop);
  void save(Save what);
  /// Saves a first checkpoint before the first weights: a kill in between must not leave weights that no run goes on from.
  void save_first();
  /// Saves the state if the time for it has come or somebody asked for it, and reports saves that failed.
  void save_if_due();
  void report_failed_saves();
  /// Saves the state between two steps, if the run has made any, and reports it.
  void save_unfinished(const char* what);
  /// Waits until all is written.
  void finish_saving();
  /// Returns what `read` returns. If it throws, saves the state first: between steps it is consistent, whatever the loader's
  /// error.
  template <class Read>
  auto saved_if_it_fails(const Read& read) {
    try {
      return read();
    } catch (const std::exception&) {
      save_after_error();
      throw;
    }
  }
  /// Reports it if that fails too.
  void save_after_error();
  /// Metrics of the steps since the last report; also passes them to the schedule. Throws Diverged if too many steps in a row
  /// were skipped.
  Metrics unreported();
  /// A reporter with a new log, or with one that goes on where the state is.
  std::unique_ptr<RunReporter> make_reporter(bool resumed) const;
  /// The state right after the step at which training diverged; the current one if another number was not finite.
  RunState failed_state();
  /// Runs that step again, to say where its numbers stop being finite.
  std::string where_it_began(const RunState& failed);
  /// The findings of all ranks: "rank 0: ...; rank 1: ...".
  std::string of_all_ranks(const std::string& finding);
  /// Goes back to a checkpoint, and on with the data after the failed step.
  void roll_back(const std::string& checkpoint, const RunState& failed, const std::string& what);

  const RunConfig& config_;
  OneProcess alone_;
  Communicator& ranks_;
  RunData data_;
  const RunFolder& folder_;
  RunObserver& observer_;
  Training training_;
  Evaluator evaluator_;
  std::unique_ptr<Loader> loader_;
  EvaluationPart validation_part_;
  EvaluationPart clean_part_;
  EvaluationPart test_part_;
  RunLength length_;
  ValidationTimes validations_;
  std::unique_ptr<Schedule> schedule_;
  RunSaver saver_;
  StepTrace trace_;
  std::optional<AutoThreads> auto_threads_;
  CheckpointTimes checkpoints_;
  volatile std::sig_atomic_t* save_request_;
  RunState state_;
  std::unique_ptr<RunReporter> report_;
  MetricsTotals told_;  // the unreported totals of all ranks that the schedule already knows
  Wishes wishes_;
};

}  // namespace residua
