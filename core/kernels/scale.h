#pragma once

#include <cstdint>

#include "core/device/device_api.h"

namespace residua {

/// y = factor * x.
struct Scale {
  int64_t size;
  float factor;
  const float* x;
  float* y;  // overwritten; may be x
};

namespace cpu {
void run(const Scale& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const Scale& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
