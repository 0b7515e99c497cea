#pragma once

#include <cstdint>

namespace residua::cpu {

/// `bytes` bytes of scratch memory, aligned to 64 bytes, uninitialized. Each thread has its own, valid until its next call.
/// Throws Error if the system has no memory left.
void* scratch(int64_t bytes);
/// The same for `count` floats.
float* scratch_floats(int64_t count);

}  // namespace residua::cpu
