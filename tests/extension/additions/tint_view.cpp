/// A view: the center view, with each channel shifted by a random amount.
#include "core/config/settings.h"
#include "core/data/views/center.h"

namespace residua {
namespace {

class Tint final : public ViewPolicy {
 public:
  Tint(int64_t crop_size, double strength) : crop_size_(crop_size), strength_(strength) {}

  PlacedView place(ImageSize size, Random& random, int64_t /*k*/) const override {
    PlacedView placed = center_view(size, crop_size_);
    for (float& shift : placed.view.color_shift) {
      shift = static_cast<float>(random.uniform(-strength_, strength_));
    }
    return placed;
  }

 private:
  int64_t crop_size_;
  double strength_;
};

class TintKind final : public ViewKind {
 public:
  void declare(Settings& settings) override {
    settings.number("tint-strength", strength_, between(0, 255), "Largest shift of a channel by the tint view, of 255.");
  }
  std::unique_ptr<const ViewPolicy> make(const ViewInput& input) const override {
    return std::make_unique<const Tint>(input.crop_size, strength_);
  }

 private:
  double strength_ = 20;
};

const auto kTint = registered<ViewKind, TintKind>("tint", "the center view, each channel shifted at random");

}  // namespace
}  // namespace residua
