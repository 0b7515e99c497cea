#pragma once

#include <span>
#include <vector>

#include "core/kernels/prepare_input.h"
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

/// Views as prepare_input takes them: u8 [N, sizeof(SampleView)].
Tensor view_tensor(std::span<const SampleView> views, Device device = {});
/// The views in such a tensor, which must be on the CPU.
std::span<SampleView> views_in(const Tensor& views);

/// A network's input y [N, height, width, channels] from stored bytes. Per image n: cut the window of views[n] out of source
/// u8 [N, H, W, C], mirror it, shift its colors, subtract the mean, scale. Zero outside of the source. Without gradient.
Tensor prepare_input(const Tensor& source, const Tensor& views, const InputFormat& format);

}  // namespace residua
