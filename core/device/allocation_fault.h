#pragma once

#include <cstdint>
#include <functional>

#include "core/device/device.h"

namespace residua::device_api {

/// Whether a request for memory fails, beside `live_bytes` in use.
using AllocationFault = std::function<bool(int64_t bytes, int64_t live_bytes)>;

/// For tests: from now on, the device's pool calls `refuses` for each request, and fails as if memory had run out where it
/// returns true. An empty function ends that.
void set_allocation_fault(Device device, AllocationFault refuses);

}  // namespace residua::device_api
