#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"
#include "core/kernels/step_state.h"

namespace residua {

/// Sets `state->found_inf` to 1 if any element is infinite or NaN. Otherwise leaves it unchanged.
struct CheckFinite {
  DType dtype;
  int64_t size;
  const void* x;
  StepState* state;
};

namespace cpu {
void run(const CheckFinite& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const CheckFinite& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
