/// The center view padded with 4 zero pixels on each side, a random crop and a random horizontal flip (He et al. 2015,
/// section 4.2).
#include "core/data/views/center.h"

namespace residua {
namespace {

constexpr int64_t kPadding = 4;

class PadCrop final : public ViewPolicy {
 public:
  explicit PadCrop(int64_t crop_size) : crop_size_(crop_size) {}

  PlacedView place(ImageSize size, Random& random, int64_t /*k*/) const override {
    PlacedView placed = center_view(size, crop_size_);
    placed.view.top = static_cast<int32_t>(random.below(2 * kPadding + 1) - kPadding);
    placed.view.left = static_cast<int32_t>(random.below(2 * kPadding + 1) - kPadding);
    placed.view.flip = random.coin() ? 1 : 0;
    return placed;
  }

 private:
  int64_t crop_size_;
};

const auto kPadCrop = registered<ViewKind, PlainViewKind<PadCrop>>(
    "pad-crop", "4 pixels of zero padding, random crop, random horizontal flip (the paper's for CIFAR)");

}  // namespace
}  // namespace residua
