#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// x = value.
struct Fill {
  DType dtype;  // f32, f16 or bf16
  int64_t size;
  float value;
  void* x;  // overwritten
};

namespace cpu {
void run(const Fill& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const Fill& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
