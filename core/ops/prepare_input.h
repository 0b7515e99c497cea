#pragma once

#include <vector>

#include "core/tensor/tensor.h"

namespace residua {

/// What a network wants its images to be.
struct InputFormat {
  int64_t height = 0, width = 0;  // pixels
  int64_t channels = 0;           // at least those of the source; zeros in the others
  DType dtype = DType::f32;
  Tensor mean;         // f32 [C], or [H, W, C] of the source: the per-pixel mean; in units of the source's bytes
  Tensor inverse_std;  // f32 [C]; per unit of the source's bytes
};

/// 3 numbers, or a mean image of [size, size, 3], as InputFormat's mean.
Tensor mean_tensor(const std::vector<float>& mean, int64_t size, Device device);

/// A network's input y [N, height, width, channels] from stored bytes. Per image n: cut a window out of source u8 [N, H, W, C]
/// at row top[n] and column left[n] (i32 [N], may be negative), mirror it where flip[n] (u8 [N]) is not 0, add color_shift[n]
/// (f32 [N, C], in units of a byte; or undefined), subtract the mean, scale. Zero outside of the source. Without gradient.
Tensor prepare_input(const Tensor& source, const Tensor& top, const Tensor& left, const Tensor& flip, const Tensor& color_shift,
                     const InputFormat& format);

}  // namespace residua
