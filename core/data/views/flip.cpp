/// The center view with a random horizontal flip (p = 0.5).
#include "core/data/views/center.h"

namespace residua {
namespace {

class Flip final : public ViewPolicy {
 public:
  explicit Flip(int64_t crop_size) : crop_size_(crop_size) {}

  PlacedView place(ImageSize size, Random& random, int64_t /*k*/) const override {
    PlacedView placed = center_view(size, crop_size_);
    placed.view.flip = random.coin() ? 1 : 0;
    return placed;
  }

 private:
  int64_t crop_size_;
};

const auto kFlip = registered<ViewKind, PlainViewKind<Flip>>("flip", "the center view, random horizontal flip");

}  // namespace
}  // namespace residua
