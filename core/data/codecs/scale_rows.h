#pragma once

#include <cstdint>

namespace residua {

/// The filter of one axis: output i is the sum over t of weights[i * taps + t] * source[first[i] + t].
struct Filter {
  int64_t outputs, taps;
  const int32_t* first;
  const float* weights;
};

/// Scales an image of interleaved red, green and blue bytes: first along the columns, in fp32, then along the rows. Rounds to
/// the nearest byte.
struct ScaleRows {
  const uint8_t* source;  // rows of `width` pixels
  int64_t width;
  Filter vertical;
  Filter horizontal;
  float* row;    // scratch of scale_row_floats(width)
  uint8_t* out;  // [vertical.outputs, horizontal.outputs, 3]
};

/// Floats of scratch for source rows of `width` pixels: reading the last pixel takes one more.
constexpr int64_t scale_row_floats(int64_t width) { return 3 * width + 1; }

void scale_rows(const ScaleRows& args);

}  // namespace residua
