#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// y = x converted to another floating type, rounded to nearest even.
struct Cast {
  DType x_dtype, y_dtype;  // f32, f16 or bf16
  int64_t size;
  const void* x;
  void* y;  // overwritten
};

namespace cpu {
void run(const Cast& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const Cast& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
