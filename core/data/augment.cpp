#include "core/data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/error.h"
#include "core/base/join.h"

namespace residua {
namespace {

constexpr int64_t kMaxCropSize = 4096;
constexpr int64_t kPadding = 4;

int64_t round_to_int(double value) { return std::lrint(value); }

/// `size` scaled so that the shorter side has `shorter` pixels; the longer one is cut to a whole number, as in torchvision.
ImageSize with_shorter_side(ImageSize size, int64_t shorter) {
  if (size.height <= size.width) {
    return {shorter, shorter * size.width / size.height};
  }
  return {shorter * size.height / size.width, shorter};
}

/// torchvision's CenterCrop rounds half to even, which lrint does.
Rect centered(ImageSize size, int64_t crop) {
  return {round_to_int(static_cast<double>(size.height - crop) / 2), round_to_int(static_cast<double>(size.width - crop) / 2),
          crop, crop};
}

struct Evaluation final : Augmentation {
  int64_t crop;

  explicit Evaluation(int64_t crop_size) : crop(crop_size) {}

  Placement place(ImageSize size, Random& /*random*/) const override {
    const ImageSize as_is{crop, crop};
    const ImageSize resized = size == as_is ? as_is : with_shorter_side(size, crop * 256 / 224);
    return {{whole(size), resized, centered(resized, crop)}};
  }
};

struct Flip final : Augmentation {
  Evaluation window;

  explicit Flip(int64_t crop_size) : window(crop_size) {}

  Placement place(ImageSize size, Random& random) const override {
    Placement placement = window.place(size, random);
    placement.flip = random.coin();
    return placement;
  }
};

struct PadCrop final : Augmentation {
  Evaluation window;

  explicit PadCrop(int64_t crop_size) : window(crop_size) {}

  Placement place(ImageSize size, Random& random) const override {
    Placement placement = window.place(size, random);
    placement.top = static_cast<int32_t>(random.below(2 * kPadding + 1) - kPadding);
    placement.left = static_cast<int32_t>(random.below(2 * kPadding + 1) - kPadding);
    placement.flip = random.coin();
    return placement;
  }
};

struct RandomResizedCrop final : Augmentation {
  static constexpr double kMinArea = 0.08;
  static constexpr double kMaxRatio = 4.0 / 3.0;
  int64_t crop;

  explicit RandomResizedCrop(int64_t crop_size) : crop(crop_size) {}

  Placement place(ImageSize size, Random& random) const override {
    const Rect rect = draw(size, random);
    return {{rect, {crop, crop}, {0, 0, crop, crop}}, 0, 0, random.coin()};
  }

  static Rect draw(ImageSize size, Random& random) {
    const double area = static_cast<double>(size.height) * static_cast<double>(size.width);
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double target = area * random.uniform(kMinArea, 1.0);
      const double ratio = std::exp(random.uniform(-std::log(kMaxRatio), std::log(kMaxRatio)));
      const int64_t width = round_to_int(std::sqrt(target * ratio));
      const int64_t height = round_to_int(std::sqrt(target / ratio));
      if (width > 0 && width <= size.width && height > 0 && height <= size.height) {
        const int64_t top = random.below(size.height - height + 1);
        const int64_t left = random.below(size.width - width + 1);
        return {top, left, height, width};
      }
    }
    // An image too long for any of the ratios: the largest centered rectangle of the nearest ratio.
    const double ratio = static_cast<double>(size.width) / static_cast<double>(size.height);
    int64_t height = size.height;
    int64_t width = size.width;
    if (ratio < 1.0 / kMaxRatio) {
      height = std::min(size.height, round_to_int(static_cast<double>(size.width) * kMaxRatio));
    } else if (ratio > kMaxRatio) {
      width = std::min(size.width, round_to_int(static_cast<double>(size.height) * kMaxRatio));
    }
    return {(size.height - height) / 2, (size.width - width) / 2, height, width};
  }
};

/// The covariance of ImageNet's colors (red, green, blue, each from 0 to 1): its eigenvalues and, as columns, its
/// eigenvectors, with the figures of fb.resnet.torch.
constexpr std::array kEigenvalues = {0.2175, 0.0188, 0.0045};
constexpr std::array<std::array<double, 3>, 3> kEigenvectors = {
    {{-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}}};

std::array<float, 3> draw_color_shift(Random& random) {
  std::array<double, 3> along;
  for (size_t k = 0; k < 3; ++k) {
    along[k] = 255 * kEigenvalues[k] * 0.1 * random.normal();
  }
  std::array<float, 3> shift;
  for (size_t c = 0; c < 3; ++c) {
    const std::array<double, 3>& row = kEigenvectors[c];
    shift[c] = static_cast<float>(row[0] * along[0] + row[1] * along[1] + row[2] * along[2]);
  }
  return shift;
}

struct ScaleCrop final : Augmentation {
  int64_t crop;

  explicit ScaleCrop(int64_t crop_size) : crop(crop_size) {}

  Placement place(ImageSize size, Random& random) const override {
    const int64_t low = crop * 256 / 224;
    const int64_t high = crop * 480 / 224;
    const ImageSize resized = with_shorter_side(size, low + random.below(high - low + 1));
    const int64_t top = random.below(resized.height - crop + 1);
    const int64_t left = random.below(resized.width - crop + 1);
    const bool flip = random.coin();
    return {{whole(size), resized, {top, left, crop, crop}}, 0, 0, flip, draw_color_shift(random)};
  }
};

template <class Policy>
std::unique_ptr<const Augmentation> make(int64_t crop_size) {
  return std::make_unique<const Policy>(crop_size);
}

struct NamedPolicy {
  std::string_view name;
  std::unique_ptr<const Augmentation> (*make)(int64_t crop_size);
};

constexpr std::array kPolicies{
    NamedPolicy{"none", make<Evaluation>},      NamedPolicy{"flip", make<Flip>},
    NamedPolicy{"pad-crop", make<PadCrop>},     NamedPolicy{"random-resized-crop", make<RandomResizedCrop>},
    NamedPolicy{"scale-crop", make<ScaleCrop>},
};

void check_crop_size(int64_t crop_size) {
  if (crop_size < 1 || crop_size > kMaxCropSize) {
    fail_usage("crop size {}: wanted 1 to {}", crop_size, kMaxCropSize);
  }
}

}  // namespace

AugmentImage augment_image(const Placement& placement, int64_t offset) {
  const Resize& resize = placement.resize;
  const Rect region = source_region(resize);
  return {.offset = offset,
          .region_height = region.height,
          .region_width = region.width,
          .region_top = region.top - resize.domain.top,
          .region_left = region.left - resize.domain.left,
          .domain_height = resize.domain.height,
          .domain_width = resize.domain.width,
          .resized_height = resize.resized.height,
          .resized_width = resize.resized.width,
          .window_top = resize.window.top,
          .window_left = resize.window.left,
          .top = placement.top,
          .left = placement.left,
          .flip = placement.flip ? 1 : 0};
}

std::unique_ptr<const Augmentation> make_augmentation(std::string_view name, int64_t crop_size) {
  check_crop_size(crop_size);
  for (const NamedPolicy& policy : kPolicies) {
    if (policy.name == name) {
      return policy.make(crop_size);
    }
  }
  fail_usage("unknown augmentation '{}'; wanted one of {}", name, join(augmentation_names(), ", "));
}

std::unique_ptr<const Augmentation> make_evaluation(int64_t crop_size) {
  check_crop_size(crop_size);
  return make<Evaluation>(crop_size);
}

std::vector<std::string> augmentation_names() {
  std::vector<std::string> names;
  for (const NamedPolicy& policy : kPolicies) {
    names.emplace_back(policy.name);
  }
  return names;
}

}  // namespace residua
