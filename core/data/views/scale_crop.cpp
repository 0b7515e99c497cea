/// Resizes the shorter side to a random length in [256, 480] (times crop_size / 224), then takes a random crop, a random
/// horizontal flip and AlexNet's PCA color shift: along each principal component of the training set's colors, N(0, 0.1) times
/// its eigenvalue (He et al. 2015, section 3.4; Krizhevsky et al. 2012, section 4.1).
#include <array>
#include <optional>

#include "core/config/settings.h"
#include "core/data/views/view.h"

namespace residua {
namespace {

/// The colors of the shift.
enum class ColorShift : uint8_t { imagenet, measured, none };

}  // namespace

template <>
inline constexpr auto kEnumText<ColorShift> =
    enum_text<ColorShift>({{ColorShift::imagenet, "imagenet"}, {ColorShift::measured, "measured"}, {ColorShift::none, "none"}});

namespace {

void draw_color_shift(const PrincipalColors& colors, Random& random, float (&shift)[3]) {
  std::array<double, 3> along;
  for (size_t k = 0; k < 3; ++k) {
    along[k] = 255 * colors.eigenvalues[k] * 0.1 * random.normal();
  }
  for (size_t c = 0; c < 3; ++c) {
    shift[c] = static_cast<float>(colors.components[0][c] * along[0] + colors.components[1][c] * along[1] +
                                  colors.components[2][c] * along[2]);
  }
}

class ScaleCrop final : public ViewPolicy {
 public:
  ScaleCrop(int64_t crop_size, std::optional<PrincipalColors> colors) : crop_size_(crop_size), colors_(colors) {}

  PlacedView place(ImageSize size, Random& random, int64_t /*k*/) const override {
    const int64_t low = crop_size_ * 256 / 224;
    const int64_t high = crop_size_ * 480 / 224;
    const ImageSize resized = with_shorter_side(size, low + random.below(high - low + 1));
    const int64_t top = random.below(resized.height - crop_size_ + 1);
    const int64_t left = random.below(resized.width - crop_size_ + 1);
    PlacedView placed{{whole(size), resized, {top, left, crop_size_, crop_size_}}};
    placed.view.flip = random.coin() ? 1 : 0;
    if (colors_) {
      draw_color_shift(*colors_, random, placed.view.color_shift);
    }
    return placed;
  }

 private:
  int64_t crop_size_;
  std::optional<PrincipalColors> colors_;
};

class ScaleCropKind final : public ViewKind {
 public:
  void declare(Settings& s) override {
    s.choice("color-shift", shift_,
             "Random color shift of the scale-crop augmentation, along the principal components of RGB. imagenet: ImageNet's "
             "published ones. measured: the training set's, which takes a pass over its images. none: no shift.");
  }
  bool measures_colors() const override { return shift_ == ColorShift::measured; }
  std::unique_ptr<const ViewPolicy> make(const ViewInput& input) const override {
    std::optional<PrincipalColors> colors;
    if (shift_ != ColorShift::none) {
      colors = shift_ == ColorShift::measured ? input.colors : kImageNetColors;
    }
    return std::make_unique<const ScaleCrop>(input.crop_size, colors);
  }

 private:
  ColorShift shift_ = ColorShift::imagenet;
};

const auto kScaleCrop =
    registered<ViewKind, ScaleCropKind>("scale-crop",
                                        "resize the shorter side to 256 to 480 pixels (for a crop of 224), random crop, random "
                                        "horizontal flip, color shift (the paper's for ImageNet)");

}  // namespace
}  // namespace residua
