#pragma once

#include <cstdint>

#include "core/device/device_api.h"

namespace residua {

/// rstd = 1 / sqrt(variance + epsilon) per channel. BatchNormApply needs it to use running statistics.
struct BatchNormRstd {
  int64_t channels;
  float epsilon;
  const float* variance;  // [channels]
  float* rstd;            // [channels], overwritten
};

namespace cpu {
void run(const BatchNormRstd& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const BatchNormRstd& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
