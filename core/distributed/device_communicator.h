#pragma once

#include <memory>

#include "core/distributed/host_communicator.h"

namespace residua {

/// Ranks with a GPU each, connected by NCCL. `host` connects the same ranks and exchanges their host values. Sums and the rest
/// run on the communication stream, while the compute stream goes on, and may be captured in a graph. A thread watches them.
/// `limit` is how many seconds a rank may keep others waiting; 0: forever. Throws RankFailure if not all ranks come within it.
std::unique_ptr<Communicator> device_communicator(Device device, std::unique_ptr<HostCommunicator> host, double limit);

}  // namespace residua
