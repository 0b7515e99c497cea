#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/io/safetensors.h"

namespace residua {

/// The version of the checkpoints that save_checkpoint() writes. 1: those before versions were written.
inline constexpr int64_t kCheckpointFormat = 2;

/// What a run needs to go on: its state and its arrays. On disk a safetensors file, with the format's version and the state, as
/// JSON, in its metadata.
struct Checkpoint {
  std::string path;
  int64_t format = kCheckpointFormat;
  nlohmann::json state;
  std::vector<HostArray> arrays;
};

/// Writes a checkpoint, which replaces `path` in one step: a crash leaves the old file or the new one.
void save_checkpoint(const std::string& path, const nlohmann::json& state, std::span<const HostArrayView> arrays);

/// Reads what save_checkpoint() wrote, in this format or an older one. Fails with UsageError, which says what to use instead,
/// on a damaged file, on weights, and on a format that is newer than this program.
Checkpoint load_checkpoint(const std::string& path);

/// Whether a file of this metadata is a checkpoint, rather than weights.
bool is_checkpoint(const SafetensorsMetadata& metadata);

}  // namespace residua
