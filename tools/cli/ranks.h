#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/device/device.h"
#include "core/distributed/communicator.h"
#include "core/distributed/launch.h"

namespace residua {

/// How this process was started, from its environment. Fails with UsageError.
Launch this_launch();
/// Fails with UsageError if a launcher has started several ranks: each would do the work of `what`, "pack-imagenet", once more.
void check_one_process(const Launch& launch, const std::string& what);

/// The ranks that a program runs as, and how it ends with them.
class Ranks {
 public:
  Ranks() = default;
  /// Ends all ranks at once unless run() has ended in order: another rank may wait for this one.
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  /// Reads the launcher's environment. Fails with UsageError.
  const Launch& launch();
  /// Connects the ranks. `limit` is how many seconds one may keep the others waiting; 0: forever. Fails with UsageError if this
  /// build or the device cannot.
  Communicator& connect(Device device, double limit);

  Communicator& all() { return *all_; }
  /// Runs a program's work. If it ends, or all ranks throw Disagreement, Diverged or TooManyBadImages, they end in order: rank
  /// 0 alone throws on, another returns the exit code. After any other error this rank ends all of them.
  int run(const std::function<int()>& work);
  /// What error messages begin with: "rank 2 of 4: "; empty if there is one process.
  const std::string& prefix() const { return prefix_; }
  /// The program ends with this exit code.
  void end(int code) { code_ = code; }

 private:
  /// Waits for all ranks, so that none ends before rank 0 has written what it records. Returns whether this is rank 0.
  bool end_together();

  std::string prefix_;
  Launch launch_;
  std::unique_ptr<Communicator> all_ = std::make_unique<OneProcess>();
  bool finished_ = false;
  int code_ = 1;
};

}  // namespace residua
