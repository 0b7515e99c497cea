#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

enum class ShortcutPool : uint8_t { stride, average };

enum class ShortcutPad : uint8_t { end, both };

/// The parameter-free shortcut, option A (He et al. 2015, section 4.1): x [N, H, W, C] to y [N, ceil(H/s), ceil(W/s), K], with
/// K >= C. `stride` takes every s-th pixel; `average` takes the mean of each s x s window (at an odd edge, of the pixels that
/// exist). The new channels are zero. With `end` all follow the C old channels; with `both`, floor((K - C) / 2) of them come
/// first.
struct ZeroPadShortcutShape {
  int64_t batch, in_height, in_width, in_channels, out_channels;
  int64_t stride;  // 1 or 2
  ShortcutPool pool;
  ShortcutPad pad;

  int64_t out_height() const { return (in_height + stride - 1) / stride; }
  int64_t out_width() const { return (in_width + stride - 1) / stride; }
  int64_t first_channel() const { return pad == ShortcutPad::both ? (out_channels - in_channels) / 2 : 0; }
};

struct ZeroPadShortcutForward {
  DType dtype;
  ZeroPadShortcutShape shape;
  const void* x;
  void* y;  // overwritten
};

struct ZeroPadShortcutBackward {
  DType dtype;
  ZeroPadShortcutShape shape;
  const void* dy;
  void* dx;  // overwritten
};

namespace cpu {
void run(const ZeroPadShortcutForward& args, Stream& stream);
void run(const ZeroPadShortcutBackward& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const ZeroPadShortcutForward& args, Stream& stream);
void run(const ZeroPadShortcutBackward& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
