#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/io/safetensors.h"

namespace residua {

/// The format version that save_checkpoint() writes. Checkpoints of format 1 do not state a version.
inline constexpr int64_t kCheckpointFormat = 2;

/// What a run needs to resume: its state and its arrays. On disk it is a safetensors file whose metadata holds the format
/// version and the state as JSON.
struct Checkpoint {
  std::string path;
  int64_t format = kCheckpointFormat;
  nlohmann::json state;
  std::vector<HostArray> arrays;
};

/// Writes a checkpoint and atomically replaces `path`: a crash leaves the old file or the new one.
void save_checkpoint(const std::string& path, const nlohmann::json& state, std::span<const HostArrayView> arrays);

/// Reads a checkpoint of this format or an older one. Fails with UsageError, which says what to do instead, if the file is
/// damaged, holds only weights, or has a newer format.
Checkpoint load_checkpoint(const std::string& path);

/// Whether a safetensors file with this metadata is a checkpoint rather than a weights file.
bool is_checkpoint(const SafetensorsMetadata& metadata);

}  // namespace residua
