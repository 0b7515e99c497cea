#pragma once

#include <memory>
#include <string>

#include "core/device/device.h"
#include "core/distributed/communicator.h"
#include "core/distributed/launch.h"

namespace residua {

/// The ranks that a program runs as, and how it ends with them.
class Ranks {
 public:
  Ranks() = default;
  /// Ends all ranks at once unless finished() was called: another rank may wait for this one.
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  /// Reads the launcher's environment. Fails with UsageError.
  const Launch& launch();
  /// Connects the ranks. `limit` is how many seconds one may keep the others waiting; 0: forever. Fails with UsageError if this
  /// build or the device cannot.
  Communicator& connect(Device device, double limit);

  Communicator& all() { return *all_; }
  /// What error messages begin with: "rank 2 of 4: "; empty if there is one process.
  const std::string& prefix() const { return prefix_; }
  /// The program ends in order, as it does on the other ranks.
  void finished() { finished_ = true; }
  /// All ranks end with the same error. Waits for them, so that none ends before rank 0 has written what it records of it.
  /// Returns whether this rank is to report the error.
  bool end_together();
  /// The program ends with this exit code.
  void end(int code) { code_ = code; }

 private:
  std::string prefix_;
  Launch launch_;
  std::unique_ptr<Communicator> all_ = std::make_unique<OneProcess>();
  bool finished_ = false;
  int code_ = 1;
};

}  // namespace residua
