#pragma once

#include <cstdint>

#include "core/device/device_api.h"

namespace residua {

/// y = sum of loss / number of labels >= 0, or 0 where there is none: the mean loss of a batch with ignored rows, whose loss is
/// 0.
struct MaskedMean {
  int64_t rows;
  const float* loss;      // [rows]
  const int32_t* labels;  // [rows]
  float* y;               // [1], overwritten
};

namespace cpu {
void run(const MaskedMean& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const MaskedMean& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
