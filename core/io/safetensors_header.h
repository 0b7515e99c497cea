#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/dtype.h"
#include "core/io/input_file.h"
#include "core/io/safetensors.h"

/// The header of a safetensors file. Other code uses core/io/safetensors.h.
namespace residua::safetensors {

inline constexpr std::string_view kMetadataKey = "__metadata__";
inline constexpr uint64_t kLengthBytes = 8;
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
inline constexpr std::array<std::pair<std::string_view, DType>, 6> kDTypes = {{{"F32", DType::f32},
                                                                               {"F16", DType::f16},
                                                                               {"BF16", DType::bf16},
                                                                               {"I64", DType::i64},
                                                                               {"I32", DType::i32},
                                                                               {"U8", DType::u8}}};

struct Entry {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
  uint64_t begin;  // in bytes after the header
  uint64_t end;
};

struct Header {
  std::vector<Entry> entries;  // in the order in which the file stores them
  SafetensorsMetadata metadata;
  uint64_t data_begin = 0;
};

/// Reads the header and checks every size and offset against the others and the file's length. Throws UsageError.
Header read_header(const InputFile& file);

}  // namespace residua::safetensors
