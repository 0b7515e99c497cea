#pragma once

#include "core/kernels/zero_pad_shortcut.h"
#include "core/tensor/tensor.h"

namespace residua {

struct ZeroPadShortcutOptions {
  int64_t out_channels = 0;
  int64_t stride = 1;
  ShortcutPool pool = ShortcutPool::stride;
  ShortcutPad pad = ShortcutPad::end;
};

/// The parameter-free shortcut, option A of He et al. 2015, section 4.1: x [N, H, W, C] to [N, ceil(H/s), ceil(W/s),
/// out_channels], for s = 1 or 2. Takes every s-th pixel, or the mean of each s x s window (at an odd edge, of the pixels that
/// exist). The new channels are zero.
Tensor zero_pad_shortcut(const Tensor& x, ZeroPadShortcutOptions options);

}  // namespace residua
