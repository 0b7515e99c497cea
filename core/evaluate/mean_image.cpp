#include "core/evaluate/mean_image.h"

#include <algorithm>
#include <vector>

namespace residua {
namespace {

/// The two pixels of `from` on either side of the center of pixel `i` of `to`, and the weight of the second.
struct Place {
  Place(int64_t i, int64_t from, int64_t to) {
    const double center = (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
    const double inside = std::clamp(center, 0.0, static_cast<double>(from - 1));
    first = static_cast<int64_t>(inside);
    second = std::min(first + 1, from - 1);
    share = inside - static_cast<double>(first);
  }
  int64_t first, second;
  double share;  // weight of the second
};

}  // namespace

Tensor scaled_mean_image(const Tensor& mean, int64_t size) {
  const int64_t height = mean.dim(0), width = mean.dim(1), channels = mean.dim(2);
  const std::vector<float> from = mean.to_vector();
  const auto at = [&](int64_t y, int64_t x, int64_t c) {
    return static_cast<double>(from[static_cast<size_t>((y * width + x) * channels + c)]);
  };
  std::vector<float> scaled;
  scaled.reserve(static_cast<size_t>(size * size * channels));
  for (int64_t i = 0; i < size; ++i) {
    const Place y(i, height, size);
    for (int64_t j = 0; j < size; ++j) {
      const Place x(j, width, size);
      for (int64_t c = 0; c < channels; ++c) {
        const double top = (1 - x.share) * at(y.first, x.first, c) + x.share * at(y.first, x.second, c);
        const double bottom = (1 - x.share) * at(y.second, x.first, c) + x.share * at(y.second, x.second, c);
        scaled.push_back(static_cast<float>((1 - y.share) * top + y.share * bottom));
      }
    }
  }
  return from_values({size, size, channels}, scaled, DType::f32, mean.device());
}

}  // namespace residua
