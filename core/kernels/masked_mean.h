#pragma once

#include <cstdint>

#include "core/device/device_api.h"

namespace residua {

/// The mean loss of a batch: y = sum of loss / number of labels >= 0, or 0 if there are none. Ignored rows have a loss of 0.
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
