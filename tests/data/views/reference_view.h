#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/data/views/view.h"

namespace residua::test {

/// The weights of all source pixels for output pixel `out` along one axis: the triangle filter of PIL.
inline std::vector<double> triangle_weights(int64_t domain, int64_t resized, int64_t out) {
  const double step = static_cast<double>(domain) / static_cast<double>(resized);
  std::vector<double> weights;
  double sum = 0;
  for (int64_t in = 0; in < domain; ++in) {
    const double distance = static_cast<double>(in) + 0.5 - (static_cast<double>(out) + 0.5) * step;
    weights.push_back(std::max(0.0, 1.0 - std::fabs(distance) / std::max(step, 1.0)));
    sum += weights.back();
  }
  for (double& weight : weights) {
    weight /= sum;
  }
  return weights;
}

/// What a network sees of `image` before the mean is subtracted, straight from the definition of a view and in double
/// precision: [crop, crop, 3], 0 to 255, without rounding, and `outside` where there is no source.
inline std::vector<double> reference_view(const Image& image, const PlacedView& placed, int64_t crop, double outside) {
  const Resize& r = placed.resize;
  const SampleView& view = placed.view;
  std::vector<double> seen(static_cast<size_t>(crop * crop * 3), outside);
  std::vector<std::vector<double>> across;
  for (int64_t w = 0; w < crop; ++w) {
    across.push_back(triangle_weights(r.domain.width, r.resized.width, w + r.window.left));
  }
  for (int64_t h = 0; h < crop; ++h) {
    const int64_t row = h + view.top;
    if (row < 0 || row >= crop) {
      continue;
    }
    const std::vector<double> down = triangle_weights(r.domain.height, r.resized.height, row + r.window.top);
    std::vector<double> mixed(static_cast<size_t>(r.domain.width * 3));
    for (int64_t i = 0; i < r.domain.height; ++i) {
      const uint8_t* source = image.row(r.domain.top + i) + 3 * r.domain.left;
      for (size_t e = 0; down[static_cast<size_t>(i)] > 0 && e < mixed.size(); ++e) {
        mixed[e] += down[static_cast<size_t>(i)] * source[e];
      }
    }
    for (int64_t w = 0; w < crop; ++w) {
      const int64_t column = (view.flip != 0 ? crop - 1 - w : w) + view.left;
      if (column < 0 || column >= crop) {
        continue;
      }
      const std::vector<double>& weights = across[static_cast<size_t>(column)];
      for (size_t c = 0; c < 3; ++c) {
        double sum = static_cast<double>(view.color_shift[c]);
        for (size_t j = 0; j < weights.size(); ++j) {
          sum += weights[j] * mixed[3 * j + c];
        }
        seen[static_cast<size_t>(h * crop + w) * 3 + c] = sum;
      }
    }
  }
  return seen;
}

}  // namespace residua::test
