#pragma once

#include <string>

#include "core/base/error.h"
#include "core/optim/schedules/schedule.h"
#include "core/run/run_folder.h"
#include "core/train/run_state.h"
#include "core/train/training.h"

namespace residua {

/// The key in a weights file's metadata that says over how many images its batch-norm statistics were computed, if they are
/// exact.
inline constexpr const char* kExactStatisticsKey = "exact_bn";

/// The run has diverged: a loss or a weight is not finite.
class Diverged : public Error {
 public:
  using Error::Error;
};

/// Saves a run's state and weights in its folder, and resumes from them.
class RunSaver {
 public:
  /// All arguments must outlive this.
  RunSaver(const RunFolder& folder, Training& training, Schedule& schedule);

  /// Resumes from a checkpoint. `state` is the state of the new run. If the checkpoint belongs to another run, fails with
  /// UsageError and changes nothing.
  void resume(const std::string& checkpoint, RunState& state);
  /// Writes the checkpoint, the last weights and, if `best`, the best weights. Fails if a weight is not finite, and then keeps
  /// the files of the last save.
  void save(RunState& state, bool best);
  /// Whether there is a file of best weights, and its path.
  bool has_best() const;
  std::string best_path() const { return folder_.file(kBestFile); }
  /// Throws Diverged if the steps before `state` skipped too many in a row.
  void check(const StepState& step, RunState state) const;
  /// Throws Diverged; `what` says which number is not finite. Saves nothing.
  [[noreturn]] void fail_diverged(const std::string& what, const RunState& state) const;

 private:
  const RunFolder& folder_;
  Training& training_;
  Schedule& schedule_;
};

}  // namespace residua
