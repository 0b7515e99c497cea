#include "core/data/views/center.h"

#include <cmath>

namespace residua {
namespace {

class Center final : public ViewPolicy {
 public:
  explicit Center(int64_t crop_size) : crop_size_(crop_size) {}

  PlacedView place(ImageSize size, Random& /*random*/, int64_t /*k*/) const override { return center_view(size, crop_size_); }

 private:
  int64_t crop_size_;
};

const auto kCenter =
    registered<ViewKind, PlainViewKind<Center>>("center", "resize the shorter side, center crop (as in evaluation)");
const auto kNone = registered<ViewKind, PlainViewKind<Center>>("none", "no augmentation, the same as center");

}  // namespace

// lrint rounds half to even.
Rect centered(ImageSize size, ImageSize window) {
  return {.top = std::lrint(static_cast<double>(size.height - window.height) / 2),
          .left = std::lrint(static_cast<double>(size.width - window.width) / 2),
          .height = window.height,
          .width = window.width};
}

int64_t evaluation_side(int64_t crop_size) { return crop_size * 256 / 224; }

PlacedView center_view(ImageSize size, int64_t crop_size) {
  const ImageSize as_is{crop_size, crop_size};
  const ImageSize resized = size == as_is ? as_is : with_shorter_side(size, evaluation_side(crop_size));
  return {.resize = {.domain = whole(size), .resized = resized, .window = centered(resized, as_is)}};
}

}  // namespace residua
