#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

#include "core/device/device_api.h"

namespace residua::test {

/// Fills fresh memory with NaN during a test, and checks at the end that no block was written past its end.
class PoisonedMemory {
 public:
  explicit PoisonedMemory(Device device) : device_(device), overruns_before_(device_api::memory_use(device).overruns) {
    // Off for tools that look for uninitialized memory themselves (compute-sanitizer): poison would count as initialized.
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
