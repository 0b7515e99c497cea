/// A data source that makes its own images: gray, and brighter in one direction. The first class brightens at the angle that
/// the option names, the second a quarter turn further.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/config/settings.h"
#include "core/data/source.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

constexpr double kContrast = 160;  // brightness gained over one side
constexpr double kNoise = 40;      // largest change of a pixel

class Gradients final : public ImageSource {
 public:
  Gradients(Split split, double angle, const SourceContext& context)
      : split_(split), angle_(angle), side_(context.image_size), seed_(context.seed) {
    class_names_ = {fmt::format("{} degrees", angle), fmt::format("{} degrees", angle + 90)};
  }

  int64_t size() const override { return split_ == Split::train ? 64 : 32; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t i) const override { return static_cast<int32_t>(i % 2); }
  std::string name(int64_t i) const override {
    return fmt::format("gradients {}[{}]", split_ == Split::train ? "train" : "val", i);
  }
  std::optional<ImageSize> fixed_size() const override { return ImageSize{side_, side_}; }

  void read(int64_t i, EncodedImage& out) const override {
    Random random(seed_, RandomPurpose::synthetic_image, split_ == Split::train ? 0 : 1, static_cast<uint64_t>(i));
    const double turn = (angle_ + 90 * label(i)) * std::numbers::pi / 180;
    const double center = static_cast<double>(side_ - 1) / 2;
    out.storage.clear();
    for (int64_t y = 0; y < side_; ++y) {
      for (int64_t x = 0; x < side_; ++x) {
        const double along =
            (static_cast<double>(x) - center) * std::cos(turn) + (static_cast<double>(y) - center) * std::sin(turn);
        const double gray = 128 + kContrast * along / static_cast<double>(side_) + random.uniform(-kNoise, kNoise);
        out.storage.insert(out.storage.end(), 3, static_cast<uint8_t>(std::clamp(gray, 0.0, 255.0)));
      }
    }
    out.set_rgb(out.storage, {side_, side_});
  }

 private:
  Split split_;
  double angle_;  // degrees, clockwise from the right
  int64_t side_;
  uint64_t seed_;
  std::vector<std::string> class_names_;
};

class GradientsKind final : public SourceKind {
 public:
  void declare(Settings& settings) override {
    settings.number("gradients-angle", angle_, between(0, 360),
                    "Direction in which the first class of the gradients set brightens, in degrees clockwise from the right.");
  }
  std::string layout() const override { return "nothing: its images are made up"; }
  bool detect(const fs::path& /*folder*/) const override { return false; }
  std::shared_ptr<const ImageSource> open(const fs::path& /*folder*/, Split split,
                                          const SourceContext& context) const override {
    return std::make_shared<const Gradients>(split, angle_, context);
  }

 private:
  double angle_ = 0;
};

const auto kGradients = registered<SourceKind, GradientsKind>("gradients", "gray images that brighten in one direction");

}  // namespace
}  // namespace residua
