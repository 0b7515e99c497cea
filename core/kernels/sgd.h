#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"
#include "core/kernels/step_state.h"

namespace residua {

/// PyTorch's SGD over a flat arena: g = gradient / loss_scale + weight_decay * w; v = momentum * v + g; w = w - lr * v. Also
/// writes a 16-bit copy of w if `copy` is given. Does nothing if `state->found_inf` is set.
struct SgdUpdate {
  DType gradient_dtype;
  DType copy_dtype;  // f16 or bf16
  int64_t size;
  float momentum;
  float weight_decay;
  const StepState* state;
  const void* gradient;
  float* weight;    // updated
  float* velocity;  // updated
  void* copy;       // overwritten, or null
};

namespace cpu {
void run(const SgdUpdate& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const SgdUpdate& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
