#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "core/base/error.h"
#include "core/device/device_api.h"

namespace residua::cuda {

/// Memory that a timer overwrites before each timing, so that L2 is cold. If the device has too little memory for it and the
/// timed work, it is given up permanently with a warning; plans are then timed with a warm cache.
class TimerMemory {
 public:
  TimerMemory(Device device, int64_t bytes) : device_(device), bytes_(bytes) {}

  /// Calls `timing` with the memory, or with null if it was given up. A timing that runs out of memory is repeated without it.
  /// Timings may be nested.
  double time(const std::function<double(void* memory)>& timing);
  int64_t bytes() const { return bytes_; }

 private:
  void give_up(const Error& error);

  Device device_;
  int64_t bytes_;  // 0 if given up
  int depth_ = 0;  // of nested timings
  std::optional<device_api::Workspace> memory_;
};

}  // namespace residua::cuda
