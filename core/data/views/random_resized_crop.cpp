/// A random rectangle of 8 to 100 % of the area with aspect ratio 3/4 to 4/3, resized to the crop size, and a random horizontal
/// flip (Szegedy et al. 2015; torchvision's RandomResizedCrop, with its ten tries and its fallback).
#include <algorithm>
#include <cmath>

#include "core/data/views/view.h"

namespace residua {
namespace {

constexpr double kMinArea = 0.08;
constexpr double kMaxRatio = 4.0 / 3.0;
constexpr int kTries = 10;

/// The fallback: the largest centered rectangle with the nearest allowed aspect ratio.
Rect largest_centered(ImageSize size) {
  const double ratio = static_cast<double>(size.width) / static_cast<double>(size.height);
  int64_t height = size.height;
  int64_t width = size.width;
  if (ratio < 1.0 / kMaxRatio) {
    height = std::min(size.height, static_cast<int64_t>(std::lrint(static_cast<double>(size.width) * kMaxRatio)));
  } else if (ratio > kMaxRatio) {
    width = std::min(size.width, static_cast<int64_t>(std::lrint(static_cast<double>(size.height) * kMaxRatio)));
  }
  return {.top = (size.height - height) / 2, .left = (size.width - width) / 2, .height = height, .width = width};
}

Rect draw_rectangle(ImageSize size, Random& random) {
  const double area = static_cast<double>(size.height) * static_cast<double>(size.width);
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const double target = area * random.uniform(kMinArea, 1.0);
    const double ratio = std::exp(random.uniform(-std::log(kMaxRatio), std::log(kMaxRatio)));
    const int64_t width = std::lrint(std::sqrt(target * ratio));
    const int64_t height = std::lrint(std::sqrt(target / ratio));
    if (width > 0 && width <= size.width && height > 0 && height <= size.height) {
      const int64_t top = random.below(size.height - height + 1);
      const int64_t left = random.below(size.width - width + 1);
      return {.top = top, .left = left, .height = height, .width = width};
    }
  }
  return largest_centered(size);
}

class RandomResizedCrop final : public ViewPolicy {
 public:
  explicit RandomResizedCrop(int64_t crop_size) : crop_size_(crop_size) {}

  PlacedView place(ImageSize size, Random& random, int64_t /*k*/) const override {
    const Rect rectangle = draw_rectangle(size, random);
    const ImageSize crop{crop_size_, crop_size_};
    return {.resize = {.domain = rectangle, .resized = crop, .window = whole(crop)},
            .view = {.top = 0, .left = 0, .flip = random.coin() ? 1 : 0, .color_shift = {}}};
  }

 private:
  int64_t crop_size_;
};

const auto kRandomResizedCrop = registered<ViewKind, PlainViewKind<RandomResizedCrop>>(
    "random-resized-crop",
    "a random rectangle of 8 to 100 % of the area, resized to the crop size, random horizontal flip (torchvision's)");

}  // namespace
}  // namespace residua
