#include "core/data/views/whole_image.h"

#include <algorithm>

#include "core/data/views/center.h"

namespace residua {
namespace {

class WholeImage final : public ViewPolicy {
 public:
  explicit WholeImage(int64_t shorter) : shorter_(shorter) {}

  int64_t count() const override { return 2; }
  int64_t most_pixels() const override { return shorter_ * shorter_ * kLongestView; }

  PlacedView place(ImageSize size, Random& /*random*/, int64_t k) const override {
    const ImageSize resized = with_shorter_side(size, shorter_);
    const int64_t longest = shorter_ * kLongestView;
    const ImageSize seen{std::min(resized.height, longest), std::min(resized.width, longest)};
    PlacedView placed{.resize = {.domain = whole(size), .resized = resized, .window = centered(resized, seen)}};
    placed.view.flip = static_cast<int32_t>(k);
    return placed;
  }

 private:
  int64_t shorter_;
};

}  // namespace

std::unique_ptr<const ViewPolicy> make_whole_image(int64_t shorter) { return std::make_unique<const WholeImage>(shorter); }

}  // namespace residua
