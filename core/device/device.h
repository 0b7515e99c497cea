#pragma once

#include <string>
#include <string_view>

namespace residua {

/// Where a tensor lives and where its operations run: `cpu` or `cuda:i`.
struct Device {
  enum class Type { cpu, cuda };
  Type type = Type::cpu;
  int index = 0;

  bool operator==(const Device&) const = default;
  std::string string() const;
};

/// Parses "cpu", "cuda", "cuda:1", or "auto" (CUDA if this build has it and there is a GPU). Throws UsageError if the build has
/// no CUDA or the GPU does not exist; the message says which.
Device parse_device(std::string_view text);

}  // namespace residua
