#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

#include "core/data/codecs/region.h"
#include "core/data/source.h"
#include "core/data/worker_count.h"

namespace residua {

class Settings;

struct PackOptions {
  /// Images with a longer shorter side are scaled to this many pixels and stored as JPEG; empty: every image is stored as it
  /// is.
  std::optional<int64_t> shorter_side = {};
  bool turns_by_exif = false;              // turn images as their EXIF data say, and store those as JPEG too
  int64_t max_pixels = kDefaultMaxPixels;  // of an image that may be decoded
  int64_t quality = 90;                    // of those JPEGs
  int64_t shard_mib = 256;                 // a shard is full when another sample would make it larger
  int64_t workers = kAutoWorkers;          // threads that read and encode
};

void declare(Settings& settings, PackOptions& options);

struct PackResult {
  int64_t images = 0;       // in the shards
  int64_t kept = 0;         // of them: packed by an earlier call
  int64_t encoded = 0;      // scaled or turned, and stored as JPEG, by this call
  int64_t undecodable = 0;  // stored as they are, because they could not be decoded for that
  int64_t shards = 0;
  uint64_t bytes = 0;
  bool complete = false;
};

/// Called with the number of images that are done. Returns whether to go on.
using PackProgress = std::function<bool(int64_t done)>;

/// Writes a split of a data set as tar shards (core/data/shards/shard_index.h) into a folder, in the source's order. The bytes
/// depend on the source and the options alone, not on `workers`. A shard appears under its name when it is complete. If an
/// earlier call has been stopped, its shards are kept and packing goes on after them. Fails with UsageError if the folder holds
/// shards of another set or with other options, and with Error if an image cannot be read.
PackResult pack(const ImageSource& source, Split split, const std::filesystem::path& folder, const PackOptions& options,
                const PackProgress& progress);

}  // namespace residua
