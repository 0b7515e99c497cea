#pragma once

#include <string>

#include "core/base/error.h"
#include "core/optim/schedules/schedule.h"
#include "core/run/run_folder.h"
#include "core/train/run_state.h"
#include "core/train/training.h"

namespace residua {

/// A run's numbers are not finite any more.
class Diverged : public Error {
 public:
  using Error::Error;
};

/// Saves a run's state and weights in its folder, and goes on from them.
class RunSaver {
 public:
  /// All must outlive this.
  RunSaver(const RunFolder& folder, Training& training, Schedule& schedule);

  /// Goes on from a checkpoint. `state` is what the run would begin with. Fails with UsageError, and changes nothing, where the
  /// checkpoint is of another run.
  void resume(const std::string& checkpoint, RunState& state);
  /// Writes the checkpoint, the last weights and, where they are the best so far, the best ones. Fails where a weight is not
  /// finite: what was saved before stays.
  void save(RunState& state, bool best);
  /// Whether there are best weights, and where.
  bool has_best() const;
  std::string best_path() const { return folder_.file(kBestFile); }
  /// Throws Diverged: `what` has happened to the run's numbers, and there is nothing to save.
  [[noreturn]] void fail_diverged(const std::string& what, const RunState& state) const;

 private:
  const RunFolder& folder_;
  Training& training_;
  Schedule& schedule_;
};

}  // namespace residua
