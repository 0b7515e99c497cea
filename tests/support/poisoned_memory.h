#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

#include "core/device/device_api.h"

namespace residua::test {

/// Fresh memory is NaN while a test runs, and at its end no block may have been written past its end.
class PoisonedMemory {
 public:
  explicit PoisonedMemory(Device device) : device_(device), overruns_before_(device_api::memory_use(device).overruns) {
    // What looks for uninitialized memory itself (compute-sanitizer) must not find it initialized.
    const char* wanted = std::getenv("RESIDUA_TEST_POISON");
    if (wanted == nullptr || std::string_view(wanted) != "off") {
      device_api::set_fresh_memory(device_, device_api::FreshMemory::poisoned);
    }
  }
  ~PoisonedMemory() {
    device_api::set_fresh_memory(device_, device_api::FreshMemory::as_found);
    EXPECT_EQ(device_api::memory_use(device_).overruns, overruns_before_) << "memory was written past the end of a tensor";
  }
  PoisonedMemory(const PoisonedMemory&) = delete;
  PoisonedMemory& operator=(const PoisonedMemory&) = delete;

 private:
  Device device_;
  int64_t overruns_before_;
};

}  // namespace residua::test
