#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/evaluate/metrics.h"
#include "core/run/event_log.h"
#include "core/run/run_folder.h"
#include "core/run/tensorboard.h"
#include "core/train/run_observer.h"
#include "core/train/run_state.h"

namespace residua {

/// A setting that a resumed run has otherwise than before.
struct ChangedSetting {
  std::string name;
  std::string before;  // as the user types it; empty: unset
  std::string now;
};

/// Reports a run's events to the observer and, where this process writes the run's files, to log.jsonl and TensorBoard. A
/// record that cannot be written, for example to a full disk, is noted, kept, and written with the next one.
class RunReporter {
 public:
  struct Options {
    std::optional<LogPosition> resumed_at = {};  // empty: a new run
    int64_t total_iterations = 0;
    int64_t epoch_images = 0;  // images trained per epoch
  };

  /// The observer must outlive this.
  RunReporter(const RunFolder& folder, RunObserver& observer, const Options& options);

  /// Counts a step's images, to compute the speed.
  void count(int64_t images) { images_ += images; }
  /// Reports the steps since the last report: their `metrics`, the last learning rate, and the loader's total `wait_seconds`.
  void train(const RunState& state, const Metrics& metrics, double rate, double wait_seconds, int64_t validations_left);
  /// Reports an evaluation that took `seconds`; `type` as in EvaluationRecord.
  void evaluation(const RunState& state, const std::string& type, const Metrics& metrics, double seconds);
  void note(const std::string& text) { observer_.note(text); }
  /// Reports a save that failed, the run's `failures`th.
  void save_failed(const RunState& state, const std::string& reason, int64_t failures);
  void changed(const RunState& state, const ChangedSetting& setting);
  /// Writes the records that failed to be written. Throws Error if that fails again.
  void finish();
  /// Reports images that could not be read.
  void skipped_images(const RunState& state, const std::vector<std::string>& messages);
  /// Reports the steps that were skipped since the last report. `scaled`: with a loss scale.
  void skipped_steps(const RunState& state, const StepState& step, bool scaled);
  /// Records that the run ends because it diverged.
  void diverged(int64_t iteration, const std::string& what);
  /// Reports that the run diverged at the iteration `failed`, and went back to `state`.
  void rolled_back(const RunState& state, int64_t failed, const std::string& what);
  /// Call this after a validation and its checkpoint.
  void end_validation(const RunState& state, double wait_seconds);
  /// Restarts the clocks, so that time spent outside training does not count.
  void restart(const RunState& state, double wait_seconds);

 private:
  using Clock = std::chrono::steady_clock;

  /// Writes to the log, or to TensorBoard; a failure is noted once.
  template <class Write>
  void keep(bool& failing, const Write& write);
  template <class Record>
  void log(const Record& record) {
    if (log_) {
      keep(log_fails_, [&] { log_->write(record); });
    }
  }
  void point(const std::string& tag, int64_t step, double value) {
    if (tensorboard_) {
      keep(tensorboard_fails_, [&] { tensorboard_->scalar(tag, step, value); });
    }
  }
  double epoch(const RunState& state) const;
  int64_t batch_images(const RunState& state) const;
  double seconds() const;

  RunObserver& observer_;
  Options options_;
  std::optional<EventLog> log_;  // nothing where another process writes
  std::optional<TensorBoardWriter> tensorboard_;
  bool log_fails_ = false;
  bool tensorboard_fails_ = false;
  Clock::time_point start_ = Clock::now();
  double wait_seconds_ = 0;
  double validation_seconds_ = 0;  // duration of the last one
  int64_t reported_iteration_ = 0;
  int64_t images_ = 0;  // since then
};

template <class Write>
void RunReporter::keep(bool& failing, const Write& write) {
  try {
    write();
    failing = false;
  } catch (const Error& error) {
    if (!failing) {
      note(fmt::format("{}; the run goes on, and it is written with the next record", error.what()));
    }
    failing = true;
  }
}

}  // namespace residua
