#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "core/base/error.h"
#include "core/device/device_api.h"

namespace residua::cuda {

/// Memory that a timer overwrites before each timing, so that nothing useful is in the L2 cache. Where the device has too
/// little for it and for what is timed, it is given up for good, with a warning: plans are then timed with what the cache
/// holds.
class TimerMemory {
 public:
  TimerMemory(Device device, int64_t bytes) : device_(device), bytes_(bytes) {}

  /// Calls `timing` with the memory, or with null where it is given up. A timing that runs out of memory is taken once more
  /// without. A timing may take others.
  double time(const std::function<double(void* memory)>& timing);
  int64_t bytes() const { return bytes_; }

 private:
  void give_up(const Error& error);

  Device device_;
  int64_t bytes_;  // 0: given up
  int depth_ = 0;  // timings that go on
  std::optional<device_api::Workspace> memory_;
};

}  // namespace residua::cuda
