#pragma once

#include <string>

#include "core/distributed/communicator.h"

namespace residua {

/// A communicator of host values that also says how the other ranks are. Any thread may call what it adds: a rank that waits
/// for its device cannot answer, but this can.
class HostCommunicator : public Communicator {
 public:
  using Communicator::Communicator;

  /// Tells the others how many calls this rank has made whose work is not done here.
  virtual void set_progress(int64_t calls) = 0;
  /// The ranks that do not answer, or have made fewer such calls: "rank 1 of 2 on node7, process 4711, does not answer". Or
  /// that they could not be asked; empty only if all answer and none is behind. Waits until each rank has answered or has been
  /// silent for some seconds.
  virtual std::string who_is_behind() = 0;
  /// What is known of a rank that has died; empty if all live. Does not wait.
  virtual std::string death() = 0;
};

}  // namespace residua
