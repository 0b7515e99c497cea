#include "core/data/views/center.h"

#include <cmath>

namespace residua {
namespace {

/// lrint rounds half to even, as torchvision's CenterCrop does.
Rect centered(ImageSize size, int64_t crop) {
  return {.top = std::lrint(static_cast<double>(size.height - crop) / 2),
          .left = std::lrint(static_cast<double>(size.width - crop) / 2),
          .height = crop,
          .width = crop};
}

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

PlacedView center_view(ImageSize size, int64_t crop_size) {
  const ImageSize as_is{crop_size, crop_size};
  const ImageSize resized = size == as_is ? as_is : with_shorter_side(size, crop_size * 256 / 224);
  return {.resize = {.domain = whole(size), .resized = resized, .window = centered(resized, crop_size)}};
}

}  // namespace residua
