/// An evaluation protocol: the center view and its mirror image, or the mirror image alone.
#include "core/config/settings.h"
#include "core/data/views/center.h"
#include "core/evaluate/protocol.h"

namespace residua {
namespace {

class Sides final : public ViewPolicy {
 public:
  Sides(int64_t crop_size, bool both) : crop_size_(crop_size), both_(both) {}

  int64_t count() const override { return both_ ? 2 : 1; }
  PlacedView place(ImageSize size, Random& /*random*/, int64_t k) const override {
    PlacedView placed = center_view(size, crop_size_);
    placed.view.flip = both_ && k == 0 ? 0 : 1;
    return placed;
  }

 private:
  int64_t crop_size_;
  bool both_;
};

class Flipped final : public Protocol {
 public:
  void declare(Settings& settings) override {
    settings.choice("flipped-sides", sides_, {"both", "mirror"},
                    "What the flipped protocol evaluates: an image and its mirror image, or the mirror image alone.");
  }
  std::vector<EvaluationPass> passes(int64_t input_size) const override {
    return {{.input_size = input_size, .views = std::make_shared<const Sides>(input_size, sides_ == "both")}};
  }

 private:
  std::string sides_ = "both";
};

const auto kFlipped = registered<Protocol, Flipped>("flipped", "the center view and its mirror image");

}  // namespace
}  // namespace residua
