#pragma once

#include <cstdint>

namespace residua::cpu {

/// `bytes` bytes of working memory, aligned to 64 and uninitialized: the calling thread's own, valid until its next call.
/// Fails when the system has none left.
void* scratch(int64_t bytes);

}  // namespace residua::cpu
