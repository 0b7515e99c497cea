#pragma once

#include "core/device/device.h"
#include "core/device/profile.h"

namespace residua::bench {

/// Prints the time of each kernel, and of each kernel in each layer, in a step of the `steps` that were recorded.
void print_profile(const profile::Recorder& recorder, int steps);
/// Prints the plans of each operation, fastest first, with a * at the chosen one.
void print_plans(Device device);

}  // namespace residua::bench
