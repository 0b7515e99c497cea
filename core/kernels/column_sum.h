#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// y[c] = sum over rows of x[r, c], in fp32: the gradient of a bias.
struct ColumnSum {
  DType dtype;  // of x
  int64_t rows, columns;
  const void* x;
  float* y;  // [columns], overwritten
};

namespace cpu {
void run(const ColumnSum& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const ColumnSum& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
