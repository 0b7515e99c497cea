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

/// "cpu", "cuda", "cuda:1", or "auto" (CUDA when it is built in and a GPU is there). Fails with UsageError
/// that says which of the two is missing.
Device parse_device(std::string_view text);

}  // namespace residua
