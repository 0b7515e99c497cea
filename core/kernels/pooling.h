#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// Square windows over x [N, H, W, C]; y is [N, P, Q, C].
struct PoolShape {
  int64_t batch, in_height, in_width, channels;
  int64_t window, stride, padding;  // padding <= window / 2

  int64_t out_height() const { return (in_height + 2 * padding - window) / stride + 1; }
  int64_t out_width() const { return (in_width + 2 * padding - window) / stride + 1; }
};

/// y = the maximum of the window. Padding never wins, the first of equal values wins, and NaN wins over everything.
struct MaxPoolForward {
  DType dtype;
  PoolShape shape;  // window <= 16
  const void* x;
  void* y;         // overwritten
  uint8_t* index;  // [N, P, Q, C], overwritten, or null: the winner's position in its window, row * window + column
};

struct MaxPoolBackward {
  DType dtype;
  PoolShape shape;
  const void* dy;
  const uint8_t* index;
  void* dx;  // overwritten
};

/// y = the mean of the window. Padding counts as zeros, as in PyTorch by default.
struct AveragePoolForward {
  DType dtype;
  PoolShape shape;
  const void* x;
  void* y;  // overwritten
};

struct AveragePoolBackward {
  DType dtype;
  PoolShape shape;
  const void* dy;
  void* dx;  // overwritten
};

/// y [N, C] = mean of x [N, area, C] over its middle dimension.
struct GlobalAveragePoolForward {
  DType dtype;
  int64_t batch, area, channels;
  const void* x;
  void* y;  // overwritten
};

struct GlobalAveragePoolBackward {
  DType dtype;
  int64_t batch, area, channels;
  const void* dy;  // [N, C]
  void* dx;        // [N, area, C], overwritten
};

namespace cpu {
void run(const MaxPoolForward& args, Stream& stream);
void run(const MaxPoolBackward& args, Stream& stream);
void run(const AveragePoolForward& args, Stream& stream);
void run(const AveragePoolBackward& args, Stream& stream);
void run(const GlobalAveragePoolForward& args, Stream& stream);
void run(const GlobalAveragePoolBackward& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const MaxPoolForward& args, Stream& stream);
void run(const MaxPoolBackward& args, Stream& stream);
void run(const AveragePoolForward& args, Stream& stream);
void run(const AveragePoolBackward& args, Stream& stream);
void run(const GlobalAveragePoolForward& args, Stream& stream);
void run(const GlobalAveragePoolBackward& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
