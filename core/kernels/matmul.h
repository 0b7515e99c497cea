#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

enum class Transpose : uint8_t { no, yes };

/// c[m, n] = op(a)[m, k] * op(b)[k, n] (+ bias[n]); row-major, summed in fp32. op(a) reads a as [m, k], or as [k, m] if
/// transposed.
struct Matmul {
  DType dtype;    // of a and b
  DType c_dtype;  // of c
  int64_t m, n, k;
  Transpose transpose_a, transpose_b;
  const void* a;
  const void* b;
  const float* bias;  // [n] or null
  void* c;            // [m, n], overwritten
};

namespace cpu {
void run(const Matmul& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const Matmul& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
