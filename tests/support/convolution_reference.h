#pragma once

#include "core/kernels/convolution.h"

namespace residua::test {

/// Calls f(index of x, index of w, index of y) for every product in the definition of a convolution.
template <class F>
void for_each_product(const ConvolutionShape& z, const F& f) {
  for (int64_t n = 0; n < z.batch; ++n) {
    for (int64_t p = 0; p < z.out_height(); ++p) {
      for (int64_t q = 0; q < z.out_width(); ++q) {
        for (int64_t r = 0; r < z.kernel_height; ++r) {
          for (int64_t s = 0; s < z.kernel_width; ++s) {
            const int64_t i = p * z.stride + r - z.padding;
            const int64_t j = q * z.stride + s - z.padding;
            if (i < 0 || i >= z.in_height || j < 0 || j >= z.in_width) {
              continue;
            }
            for (int64_t k = 0; k < z.out_channels; ++k) {
              for (int64_t c = 0; c < z.in_channels; ++c) {
                f(static_cast<size_t>(((n * z.in_height + i) * z.in_width + j) * z.in_channels + c),
                  static_cast<size_t>(((k * z.kernel_height + r) * z.kernel_width + s) * z.in_channels + c),
                  static_cast<size_t>(((n * z.out_height() + p) * z.out_width() + q) * z.out_channels + k));
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace residua::test
