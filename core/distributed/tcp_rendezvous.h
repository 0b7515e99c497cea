#pragma once

#include <string>
#include <vector>

#include "core/distributed/launch.h"
#include "core/distributed/socket.h"

namespace residua {

/// The port at which rank 0 listens. It is not `launch.port` itself: torchrun's agent listens there.
int64_t tcp_port(const Launch& launch);

/// Connects each rank with rank 0. Rank 0 gets a socket for each rank, its own one not open; another rank gets one, to rank 0.
/// Connections that do not come from this program are closed. `limit` is in seconds; 0: forever. Throws UsageError if rank 0
/// refuses this one or cannot listen, RankFailure if a rank does not come.
std::vector<Socket> tcp_rendezvous(const Launch& launch, double limit);

}  // namespace residua
