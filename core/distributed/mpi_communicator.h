#pragma once

#include <memory>

#include "core/distributed/host_communicator.h"
#include "core/distributed/launch.h"

namespace residua {

/// Whether this build can connect ranks by MPI.
bool built_with_mpi();

/// The ranks that mpirun or srun has started, connected by MPI. Works on tensors of the CPU device. A thread of its own makes
/// all MPI calls, so sums go on while the caller computes. `limit` is how many seconds a rank may keep others waiting; 0:
/// forever. Throws RankFailure if a rank does not come within it. Its end waits for all ranks too: if one does not come, it
/// warns and exits with code 1. There can be one at a time, and only one in a process's life. Fails with UsageError in a build
/// without MPI.
std::unique_ptr<HostCommunicator> mpi_communicator(const Launch& launch, double limit);

}  // namespace residua
