#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/io/host_array.h"

namespace residua {

/// Strings beside the tensors (`__metadata__` in the file).
using SafetensorsMetadata = std::map<std::string, std::string>;

struct Safetensors {
  std::string path;
  /// In the order of their bytes in the file.
  std::vector<HostArray> arrays;
  SafetensorsMetadata metadata;

  /// nullptr when there is none of that name.
  const HostArray* find(const std::string& name) const;
};

/// Reads a whole safetensors file: 8 bytes little-endian header length, a JSON header `{name: {dtype, shape, data_offsets}}`,
/// the bytes. Element types: F32, F16, BF16, I64, I32, U8; at most four dimensions. The file may come from anywhere: every
/// length and offset is checked before it is used, the bytes must be covered by the tensors exactly once, names must be unique.
/// Whatever is wrong ends in a UsageError that names the file and the tensor, and for a PyTorch file says how to convert it; a
/// read that the system refuses ends in an Error.
/// Format: https://github.com/huggingface/safetensors#format
Safetensors load_safetensors(const std::string& path);

/// Only `__metadata__` of the file, checked as load_safetensors() does, without reading the tensors' bytes.
SafetensorsMetadata load_safetensors_metadata(const std::string& path);

/// Writes (or atomically replaces) `path`. Wide element types come first, so that each array is aligned in the file. Fails on
/// duplicate names, on names or metadata that are not UTF-8 and on the reserved name `__metadata__`.
void save_safetensors(const std::string& path, std::span<const HostArrayView> arrays, const SafetensorsMetadata& metadata = {});

}  // namespace residua
