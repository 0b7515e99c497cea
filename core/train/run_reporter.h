#pragma once

#include <chrono>
#include <string>

#include "core/data/data_errors.h"
#include "core/evaluate/metrics.h"
#include "core/run/event_log.h"
#include "core/run/run_folder.h"
#include "core/run/tensorboard.h"
#include "core/train/run_observer.h"
#include "core/train/run_state.h"

namespace residua {

/// Reports a run's events to log.jsonl, TensorBoard and the observer.
class RunReporter {
 public:
  struct Options {
    int64_t resumed_at = -1;  // iteration; -1: a new run
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
  /// Reports the images that could not be read since the last call.
  void skipped_images(const RunState& state, DataErrors& errors);
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

  double epoch(const RunState& state) const;
  int64_t batch_images(const RunState& state) const;
  double seconds() const;

  RunObserver& observer_;
  Options options_;
  EventLog log_;
  TensorBoardWriter tensorboard_;
  Clock::time_point start_ = Clock::now();
  double wait_seconds_ = 0;
  double validation_seconds_ = 0;  // duration of the last one
  int64_t reported_iteration_ = 0;
  int64_t images_ = 0;  // since then
};

}  // namespace residua
