#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/distributed/communicator.h"
#include "core/optim/schedules/schedule.h"
#include "core/run/run_folder.h"
#include "core/train/run_state.h"
#include "core/train/training.h"

namespace residua {

/// The key in a weights file's metadata that says over how many images its batch-norm statistics were computed, if they are
/// exact.
inline constexpr const char* kExactStatisticsKey = "exact_bn";

/// The run has diverged: a loss or a weight is not finite. All ranks throw it together.
class Diverged : public Error {
 public:
  using Error::Error;
};

/// What a save writes: the checkpoint alone; the last weights too; the best weights too.
enum class Save : uint8_t { checkpoint, last, best };

/// Saves a run's state and weights in its folder, and resumes from them. A save copies the state to host memory; a thread
/// writes it while the run goes on. At most one save is being written.
///
/// Of several ranks, rank 0 alone copies and writes. All call save(), finish() and newest_checkpoint() together, and what rank
/// 0 finds holds for all.
///
/// A save that fails costs nothing: the files of earlier saves stay, and the next save writes what is missing. The best weights
/// are kept in memory until then.
class RunSaver {
 public:
  /// The references must outlive this. The folder keeps the `keep` newest checkpoints.
  RunSaver(const RunFolder& folder, Training& training, Schedule& schedule, int64_t keep, Communicator* ranks = nullptr);
  /// Waits for the save that is being written.
  ~RunSaver();
  RunSaver(const RunSaver&) = delete;
  RunSaver& operator=(const RunSaver&) = delete;

  /// Resumes from a checkpoint. `state` is the state of the new run. If the checkpoint belongs to another run, fails with
  /// UsageError and changes nothing.
  void resume(const std::string& checkpoint, RunState& state);

  /// Waits for the save before, copies the state, and starts to write it. Fails if a weight is not finite, and then keeps the
  /// files of the last save.
  void save(RunState& state, Save what);
  /// Waits for the save that is being written, and notes its outcome.
  void wait();
  /// Waits until the last save is written. If that failed, saves once more, and fails if that fails too.
  void finish(RunState& state);
  /// The reason why a save failed, once for each.
  std::optional<std::string> take_failure();
  /// The path of the run's newest sound checkpoint; empty if there is none. Waits for the save that is being written.
  std::string newest_checkpoint();
  /// Saves that failed.
  int64_t failures() const { return failures_; }

  /// Whether there are best weights, and the path of their file.
  bool has_best() const { return has_best_; }
  std::string best_path() const { return folder_.file(kBestFile); }
  /// Throws Diverged if the steps before `state` skipped too many in a row.
  void check(const StepState& step, RunState state);
  /// Throws Diverged; `what` says which number is not finite. Saves nothing.
  [[noreturn]] void fail_diverged(const std::string& what, const RunState& state);

 private:
  /// A run's state in host memory.
  struct Saved;
  /// Copies the state and the weights to newest_. Returns the name of an array that is not finite, or "".
  std::string copy(const RunState& state);
  /// Starts to write newest_.
  void start_writing(Save what);
  /// The names of the checkpoints to keep once the one of `iteration` is written.
  std::vector<std::string> kept_with(int64_t iteration) const;
  void note_failure(const std::string& reason);

  const RunFolder& folder_;
  Training& training_;
  Schedule& schedule_;
  const size_t keep_;
  OneProcess alone_;
  Communicator& ranks_;
  bool has_best_;
  std::vector<std::string> generations_;         // names of the sound checkpoints, the newest last
  std::shared_ptr<Saved> newest_;                // kept for its memory
  std::shared_ptr<const Saved> best_unwritten_;  // best weights that no save has written yet
  bool last_unwritten_ = false;                  // whether the last weights are older than they should be
  std::future<void> writing_;
  std::vector<std::string> writing_kept_;   // the generations once it is done
  std::optional<std::string> failure_;      // of the last save
  std::optional<std::string> new_failure_;  // one that take_failure() has not told
  int64_t failures_ = 0;
};

}  // namespace residua
