#pragma once

#include <span>
#include <vector>

#include "core/kernels/prepare_input.h"
#include "core/tensor/tensor.h"

namespace residua {

/// The input that a network expects.
struct InputFormat {
  int64_t height = 0, width = 0;  // pixels
  int64_t channels = 0;           // at least those of the source; the others are zero
  DType dtype = DType::f32;
  Tensor mean;         // f32 [C], or [H, W, C] of the source for a per-pixel mean; in source units (bytes, 0 to 255)
  Tensor inverse_std;  // f32 [C]; per source unit
};

/// Makes InputFormat's mean from 3 numbers or from a mean image of [size, size, 3].
Tensor mean_tensor(const std::vector<float>& mean, int64_t size, Device device);

/// The views in the form that prepare_input takes: u8 [N, sizeof(SampleView)].
Tensor view_tensor(std::span<const SampleView> views, Device device = {});
/// The views in such a tensor. It must be on the CPU.
std::span<SampleView> views_in(const Tensor& views);

/// Makes a network's input y [N, height, width, channels] from stored bytes. For each image n: crops the window of views[n] out
/// of source u8 [N, H, W, C], flips it, shifts its colors, subtracts the mean, scales. Zero outside the source. Has no
/// gradient.
Tensor prepare_input(const Tensor& source, const Tensor& views, const InputFormat& format);

}  // namespace residua
