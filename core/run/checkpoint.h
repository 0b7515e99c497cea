#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/io/safetensors.h"

namespace residua {

/// The format version that save_checkpoint() writes. Checkpoints of format 1 do not state a version; from 3 on they have a
/// digest of themselves.
inline constexpr int64_t kCheckpointFormat = 3;

/// What a run needs to resume: its state, its arrays, and the metadata of its network. On disk it is a safetensors file whose
/// metadata also holds the format version and the state as JSON.
struct Checkpoint : Safetensors {
  int64_t format = kCheckpointFormat;
  nlohmann::json state = {};
};

/// Writes a checkpoint and atomically replaces `path`: a crash leaves the old file or the new one.
void save_checkpoint(const std::string& path, const nlohmann::json& state, std::span<const HostArrayView> arrays,
                     const SafetensorsMetadata& metadata = {});

/// Reads a checkpoint of this format or an older one. Checks the digest first. Fails with UsageError, which says what to do
/// instead, if the file is damaged, holds only weights, has a newer format, or is of another iteration than its name says.
Checkpoint load_checkpoint(const std::string& path);

/// Whether a safetensors file with this metadata is a checkpoint rather than a weights file.
bool is_checkpoint(const SafetensorsMetadata& metadata);

/// The name of a run's checkpoint: "checkpoint-900.safetensors".
std::string checkpoint_name(int64_t iteration);
/// The only checkpoint of a run of older versions.
inline constexpr const char* kOldCheckpointFile = "checkpoint.safetensors";

/// The paths of all checkpoints in a folder, whether sound or not, the one of the highest iteration first. The one without a
/// number is the last. Empty if there is no such folder.
std::vector<std::string> checkpoints_in(const std::string& folder);

/// The newest checkpoint of a folder that load_checkpoint() accepts.
struct FoundCheckpoint {
  std::string path;                      // empty: the folder has no checkpoint
  std::vector<std::string> passed_over;  // the reasons against each newer one
};
/// Fails with UsageError if the folder has checkpoints and none can be read.
FoundCheckpoint find_checkpoint(const std::string& folder);

/// Removes the checkpoints of a folder whose names are not in `kept`. Those must be durable.
void remove_other_checkpoints(const std::string& folder, std::span<const std::string> kept);

}  // namespace residua
