#pragma once

#include <memory>
#include <string_view>

#include "core/device/device.h"
#include "core/distributed/communicator.h"
#include "core/distributed/launch.h"

namespace residua {

class Settings;

/// Seconds that a rank may keep the others waiting, if nothing else is said.
inline constexpr double kRankTimeout = 600;
/// Declares the setting rank-timeout.
void declare_rank_timeout(Settings& settings, double& limit);

/// The device that `text` means to a rank. "auto" and "cuda" give each rank on a machine a GPU of its own: cuda:0 to local rank
/// 0, and so on; or the only one that CUDA_VISIBLE_DEVICES lets it see. See parse_device(). Throws UsageError if there are
/// fewer GPUs than ranks on this machine.
Device device_of_rank(std::string_view text, const Launch& launch);

/// Connects the ranks for work on `device`, each rank's own: by MPI for the CPU device; by NCCL for GPUs, which find each other
/// by MPI or, if the launcher has none, by TCP. One rank needs nothing. `limit` is how many seconds a rank may keep others
/// waiting; 0: forever. Throws UsageError, which says what to use, if the launcher or this build cannot connect such ranks;
/// RankFailure if a rank does not come.
std::unique_ptr<Communicator> connect(const Launch& launch, Device device, double limit);

}  // namespace residua
