#pragma once

#include <cstdint>
#include <string>

namespace residua {

/// How much memory there is, and how much of it this program may still get.
struct MemorySpace {
  int64_t used_bytes = 0;          // by this program
  int64_t free_bytes = INT64_MAX;  // INT64_MAX if unknown
  int64_t total_bytes = 0;
  const char* limit = "";  // what sets the total: "this machine"
};

/// The host's memory, by the tightest of its limits: the machine's memory and swap, the memory of the process's control groups,
/// and the address space that ulimit -v leaves. Allocates nothing. Files are read below `root`, for tests.
MemorySpace host_memory(const char* root = "") noexcept;

/// "3072 MiB wanted, 900 MiB in use by this program, 1100 MiB free of 2000 MiB (ulimit -v)". The first number is left out if
/// `wanted_bytes` is 0, the last two if they are unknown.
std::string describe_shortage(int64_t wanted_bytes, const MemorySpace& memory);

}  // namespace residua
