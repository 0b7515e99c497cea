#pragma once

#include <memory>

#include "core/distributed/host_communicator.h"
#include "core/distributed/launch.h"

namespace residua {

/// Ranks connected by TCP, each with rank 0, for launchers without MPI. It exchanges host values only: its calls with tensors
/// throw Error. A thread notices at once if a rank dies. `limit` is how many seconds a rank may keep others waiting; 0:
/// forever.
std::unique_ptr<HostCommunicator> tcp_communicator(const Launch& launch, double limit);

}  // namespace residua
