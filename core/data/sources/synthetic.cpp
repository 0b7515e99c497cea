/// Synthetic images that a network can learn: one colored shape of random size at a random place on a shaded, noisy background.
/// The label's last digit picks the shape; with more than 10 classes its tens digit picks the hue, and with more than 100 its
/// hundreds digit picks the stripes.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/config/settings.h"
#include "core/data/source.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxClasses = 1000;
constexpr int64_t kMinSide = 8;
constexpr int64_t kMaxSide = 4096;
constexpr int64_t kNoise = 24;  // largest change of a channel value

using Color = std::array<double, 3>;

/// `inside`: whether (u, v), in units of the shape's radius, lies inside the shape.
struct Shape {
  std::string_view name;
  bool (*inside)(double u, double v);
};

constexpr std::array<Shape, 10> kShapes{{
    {"disc", [](double u, double v) { return u * u + v * v < 1.0; }},
    {"square", [](double u, double v) { return std::max(std::abs(u), std::abs(v)) < 0.85; }},
    {"triangle", [](double u, double v) { return v < 0.75 && v > 2.0 * std::abs(u) - 1.0; }},
    {"ring", [](double u, double v) { return u * u + v * v < 1.0 && u * u + v * v > 0.36; }},
    {"plus",
     [](double u, double v) { return std::max(std::abs(u), std::abs(v)) < 1.0 && std::min(std::abs(u), std::abs(v)) < 0.3; }},
    {"diamond", [](double u, double v) { return std::abs(u) + std::abs(v) < 1.0; }},
    {"cross",
     [](double u, double v) { return std::max(std::abs(u), std::abs(v)) < 0.9 && std::abs(std::abs(u) - std::abs(v)) < 0.4; }},
    {"frame",
     [](double u, double v) { return std::max(std::abs(u), std::abs(v)) < 0.9 && std::max(std::abs(u), std::abs(v)) > 0.55; }},
    {"dome", [](double u, double v) { return u * u + v * v < 1.0 && v < 0.1; }},
    {"bar", [](double u, double v) { return std::abs(u) < 1.0 && std::abs(v) < 0.35; }},
}};

/// HSV to RGB: `hue` and `saturation` in [0, 1], `value` in [0, 255].
Color color_of(double hue, double saturation, double value) {
  const auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue * 6.0, 6.0);
    return value * (1.0 - saturation * std::clamp(std::min(k, 4.0 - k), 0.0, 1.0));
  };
  return {channel(5.0), channel(3.0), channel(1.0)};
}

struct SyntheticOptions {
  int64_t classes = 10;
  int64_t images = 10'000;  // training images; validation has a fifth as many, at least 16
};

class Synthetic final : public ImageSource {
 public:
  Synthetic(Split split, const SyntheticOptions& options, const SourceContext& context)
      : side_(context.image_size),
        images_(split == Split::train ? options.images : std::max<int64_t>(options.images / 5, 16)),
        seed_(context.seed),
        split_(split) {
    if (side_ < kMinSide || side_ > kMaxSide) {
      fail_usage("synthetic images: {} pixels a side; wanted {} to {}", side_, kMinSide, kMaxSide);
    }
    for (int64_t k = 0; k < options.classes; ++k) {
      std::string name(kShapes[static_cast<size_t>(k % 10)].name);
      if (options.classes > 10) {
        name += fmt::format(" hue {}", k / 10 % 10);
      }
      if (options.classes > 100) {
        name += fmt::format(" stripes {}", k / 100);
      }
      class_names_.push_back(std::move(name));
    }
  }

  int64_t size() const override { return images_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t i) const override { return static_cast<int32_t>(i % static_cast<int64_t>(class_names_.size())); }
  std::string name(int64_t i) const override {
    return fmt::format("synthetic {}[{}]", split_ == Split::train ? "train" : "val", i);
  }
  std::optional<ImageSize> fixed_size() const override { return ImageSize{side_, side_}; }

  void read(int64_t i, EncodedImage& out) const override {
    const Scene scene = draw_scene(i);
    const Shape& shape = kShapes[static_cast<size_t>(label(i) % 10)];
    out.storage.resize(static_cast<size_t>(side_ * side_ * 3));
    uint8_t* to = out.storage.data();
    for (int64_t y = 0; y < side_; ++y) {
      Random noise(seed_, RandomPurpose::synthetic_noise, epoch(),
                   static_cast<uint64_t>(i) * kMaxSide + static_cast<uint64_t>(y));
      const double v = (static_cast<double>(y) + 0.5 - scene.y) / scene.radius;
      const double shade = static_cast<double>(y) / static_cast<double>(side_);
      for (int64_t x = 0; x < side_; ++x) {
        const double u = (static_cast<double>(x) + 0.5 - scene.x) / scene.radius;
        const bool painted = shape.inside(u, v) && (scene.stripes == 0.0 || std::sin(scene.stripes * u) < 0.5);
        const uint32_t draw = noise.bits();
        for (size_t c = 0; c < 3; ++c) {
          const double clean = painted ? scene.paint[c] : scene.sky[c] + (scene.ground[c] - scene.sky[c]) * shade;
          const double change =
              static_cast<double>(static_cast<int64_t>(draw >> (10 * c) & 1023u) * (2 * kNoise) / 1023 - kNoise);
          *to++ = static_cast<uint8_t>(std::clamp(clean + change, 0.0, 255.0));
        }
      }
    }
    out.set_rgb(out.storage, {side_, side_});
  }

 private:
  struct Scene {
    double x, y, radius;  // pixels
    double stripes;       // radians per radius; 0: no stripes
    Color paint, sky, ground;
  };

  uint64_t epoch() const { return split_ == Split::train ? 0 : 1; }

  Scene draw_scene(int64_t i) const {
    Random random(seed_, RandomPurpose::synthetic_image, epoch(), static_cast<uint64_t>(i));
    const int32_t k = label(i);
    const double side = static_cast<double>(side_);
    Scene scene;
    scene.radius = side * random.uniform(0.2, 0.4);
    scene.x = random.uniform(scene.radius, side - scene.radius);
    scene.y = random.uniform(scene.radius, side - scene.radius);
    scene.stripes = static_cast<double>(k / 100) * 3.0;
    const bool hue_is_label = class_names_.size() > 10;
    const double hue = hue_is_label ? (k / 10 % 10 + random.uniform(-0.2, 0.2)) / 10.0 + 1.0 : random.uniform();
    scene.paint = color_of(std::fmod(hue, 1.0), random.uniform(0.6, 1.0), random.uniform(190.0, 255.0));
    // The background is darker than any paint, so the shape is always visible.
    scene.sky = color_of(random.uniform(), random.uniform(0.0, 0.6), random.uniform(20.0, 110.0));
    scene.ground = color_of(random.uniform(), random.uniform(0.0, 0.6), random.uniform(20.0, 110.0));
    return scene;
  }

  int64_t side_;
  int64_t images_;
  uint64_t seed_;
  Split split_;
  std::vector<std::string> class_names_;
};

class SyntheticKind final : public SourceKind {
 public:
  void declare(Settings& settings) override {
    settings.number("synthetic-classes", options_.classes, between(2, kMaxClasses), "Number of classes in the synthetic set.");
    settings.number("synthetic-images", options_.images, at_least(16),
                    "Training images in the synthetic set; the validation set has a fifth as many.");
  }
  std::string layout() const override { return "no files: the program draws the images; choose it with the setting dataset"; }
  bool detect(const fs::path& /*folder*/) const override { return false; }
  std::shared_ptr<const ImageSource> open(const fs::path& /*folder*/, Split split,
                                          const SourceContext& context) const override {
    return std::make_shared<const Synthetic>(split, options_, context);
  }

 private:
  SyntheticOptions options_;
};

const auto kSynthetic = registered<SourceKind, SyntheticKind>("synthetic", "colored shapes that the program draws");

}  // namespace
}  // namespace residua
