#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// y = a + b, summed in fp32 and rounded once.
struct Add {
  DType dtype;
  int64_t size;
  const void* a;
  const void* b;
  void* y;  // overwritten; may be a or b
};

namespace cpu {
void run(const Add& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const Add& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
