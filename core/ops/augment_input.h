#pragma once

#include "core/ops/prepare_input.h"
#include "core/tensor/tensor.h"

namespace residua {

/// Fields of an AugmentImage (core/kernels/augment_input.h), of which a row of `images` consists.
inline constexpr int64_t kAugmentImageFields = 14;

/// A network's input y [N, height, width, channels] from decoded regions of images, anywhere in the bytes of `source` (u8
/// [any]). Per image n of images (i64 [N, kAugmentImageFields]): scale, cut and mirror as it says, add color_shift[n] (f32 [N,
/// 3], in units of a byte; or undefined), subtract the mean, scale. The format's mean is f32 [3] or [height, width, 3]. What
/// `images` says is not checked: it may lie on a device. Without gradient. No loader takes this route yet.
Tensor augment_input(const Tensor& source, const Tensor& images, const Tensor& color_shift, const InputFormat& format);

}  // namespace residua
