/// Resizes the shorter side to a random length in [256, 480] (times crop_size / 224), then takes a random crop, a random
/// horizontal flip and AlexNet's PCA color shift: along each eigenvector of ImageNet's RGB covariance, N(0, 0.1) times the
/// eigenvalue (He et al. 2015, section 3.4; Krizhevsky et al. 2012, section 4.1).
#include <array>

#include "core/data/views/view.h"

namespace residua {
namespace {

/// Eigenvalues and, as columns, eigenvectors of the RGB covariance of ImageNet's pixels, each channel from 0 to 1. The values
/// are those of fb.resnet.torch.
constexpr std::array kEigenvalues = {0.2175, 0.0188, 0.0045};
constexpr std::array<std::array<double, 3>, 3> kEigenvectors = {
    {{-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}}};

void draw_color_shift(Random& random, float (&shift)[3]) {
  std::array<double, 3> along;
  for (size_t k = 0; k < 3; ++k) {
    along[k] = 255 * kEigenvalues[k] * 0.1 * random.normal();
  }
  for (size_t c = 0; c < 3; ++c) {
    const std::array<double, 3>& row = kEigenvectors[c];
    shift[c] = static_cast<float>(row[0] * along[0] + row[1] * along[1] + row[2] * along[2]);
  }
}

class ScaleCrop final : public ViewPolicy {
 public:
  explicit ScaleCrop(int64_t crop_size) : crop_size_(crop_size) {}

  PlacedView place(ImageSize size, Random& random, int64_t /*k*/) const override {
    const int64_t low = crop_size_ * 256 / 224;
    const int64_t high = crop_size_ * 480 / 224;
    const ImageSize resized = with_shorter_side(size, low + random.below(high - low + 1));
    const int64_t top = random.below(resized.height - crop_size_ + 1);
    const int64_t left = random.below(resized.width - crop_size_ + 1);
    PlacedView placed{{whole(size), resized, {top, left, crop_size_, crop_size_}}};
    placed.view.flip = random.coin() ? 1 : 0;
    draw_color_shift(random, placed.view.color_shift);
    return placed;
  }

 private:
  int64_t crop_size_;
};

const auto kScaleCrop =
    registered<ViewKind, PlainViewKind<ScaleCrop>>("scale-crop",
                                                   "resize the shorter side to 256 to 480 pixels (for a crop of 224), random "
                                                   "crop, random horizontal flip, color shift (the paper's for ImageNet)");

}  // namespace
}  // namespace residua
