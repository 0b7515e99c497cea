#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/io/host_array.h"

namespace residua {

/// Strings stored next to the tensors (`__metadata__` in the file).
using SafetensorsMetadata = std::map<std::string, std::string>;

struct Safetensors {
  std::string path;
  /// In the order in which the file stores them.
  std::vector<HostArray> arrays;
  SafetensorsMetadata metadata;

  /// The array with this name; nullptr if there is none.
  const HostArray* find(const std::string& name) const;
};

/// Reads a whole safetensors file: an 8-byte little-endian header length, a JSON header `{name: {dtype, shape, data_offsets}}`,
/// and the tensors' bytes. Element types: F32, F16, BF16, I64, I32, U8; at most four dimensions. The file may be untrusted:
/// every length and offset is checked before use, the tensors must cover the bytes exactly once, and names must be unique.
/// Throws UsageError that names the file and the tensor if the file is invalid; for a PyTorch file the message says how to
/// convert it. Throws Error if the system refuses a read.
/// Format: https://github.com/huggingface/safetensors#format
Safetensors load_safetensors(const std::string& path);

/// Reads only `__metadata__`. Checks the header like load_safetensors(), but does not read the tensors' bytes.
SafetensorsMetadata load_safetensors_metadata(const std::string& path);

/// Writes `path`, or replaces it atomically. Wide element types come first, which aligns each array in the file. Throws Error
/// on duplicate names, on names or metadata that are not UTF-8, and on the reserved name `__metadata__`.
void save_safetensors(const std::string& path, std::span<const HostArrayView> arrays, const SafetensorsMetadata& metadata = {});

}  // namespace residua
