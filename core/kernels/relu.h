#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// y = max(x, 0); NaN stays NaN.
struct ReluForward {
  DType dtype;
  int64_t size;
  const void* x;
  void* y;  // overwritten; may be x
};

/// dx = dy where y > 0, and 0 elsewhere.
struct ReluBackward {
  DType dtype;
  int64_t size;
  const void* y;
  const void* dy;
  void* dx;  // overwritten; may be dy
};

namespace cpu {
void run(const ReluForward& args, Stream& stream);
void run(const ReluBackward& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const ReluForward& args, Stream& stream);
void run(const ReluBackward& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
