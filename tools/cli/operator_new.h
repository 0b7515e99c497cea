#pragma once

#include <cstddef>

/// A program's own operator new, which knows how much was wanted when the system had no memory left.
namespace residua {

/// Bytes of the last request that failed, in any thread; 0 if none has.
size_t failed_request() noexcept;

/// For tests: from now on, calls `refuses` for each request, and fails where it returns true. Null ends that.
void set_new_fault(bool (*refuses)(size_t bytes) noexcept);

}  // namespace residua
