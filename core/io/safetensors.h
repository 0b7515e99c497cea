#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace residua {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Strings beside the tensors (`__metadata__` in the file).
using SafetensorsMetadata = std::map<std::string, std::string>;

struct Safetensors {
  std::string path;
  /// On the CPU, in the order of their bytes in the file.
  std::vector<NamedTensor> tensors;
  SafetensorsMetadata metadata;

  /// nullptr when there is none of that name.
  const Tensor* find(const std::string& name) const;
};

/// Reads a whole safetensors file: 8 bytes little-endian header length, a JSON header `{name: {dtype, shape, data_offsets}}`,
/// the bytes. Element types: F32, F16, BF16, I64, I32, U8; at most four dimensions. The file may come from anywhere: every
/// length and offset is checked before it is used, the bytes must be covered by the tensors exactly once, names must be unique.
/// Whatever is wrong ends in a UsageError that names the file and the tensor; a read that the system refuses ends in an Error.
/// Format: https://github.com/huggingface/safetensors#format
Safetensors load_safetensors(const std::string& path);

/// Only `__metadata__` of the file, checked as load_safetensors() does, without reading the tensors' bytes.
SafetensorsMetadata load_safetensors_metadata(const std::string& path);

/// Writes (or atomically replaces) `path`. Tensors may be on any device; wide element types come first, so that each tensor is
/// aligned in the file. Fails on duplicate names, on names or metadata that are not UTF-8 and on the reserved name
/// `__metadata__`.
void save_safetensors(const std::string& path, std::span<const NamedTensor> tensors, const SafetensorsMetadata& metadata = {});

}  // namespace residua
