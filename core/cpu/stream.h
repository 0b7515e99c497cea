#pragma once

#include "core/device/device_api.h"

namespace residua::cpu {

/// The CPU device's stream. Work runs on the calling thread (and its OpenMP team) before `run` returns, so there is nothing to
/// wait for.
class Stream {
 public:
  Device device() const { return {}; }
};

}  // namespace residua::cpu
