/// An evaluation protocol: the center view and its mirror image, and the mean of their logits or of their probabilities.
#include "core/config/settings.h"
#include "core/data/views/center.h"
#include "core/evaluate/protocol.h"

namespace residua {
namespace {

class BothSides final : public ViewPolicy {
 public:
  explicit BothSides(int64_t crop_size) : crop_size_(crop_size) {}

  int64_t count() const override { return 2; }
  PlacedView place(ImageSize size, Random& /*random*/, int64_t k) const override {
    PlacedView placed = center_view(size, crop_size_);
    placed.view.flip = k == 1 ? 1 : 0;
    return placed;
  }

 private:
  int64_t crop_size_;
};

class Flipped final : public Protocol {
 public:
  void declare(Settings& settings) override {
    settings.choice("flipped-average", mean_of_, {"probabilities", "logits"},
                    "What the flipped protocol takes the mean of over an image and its mirror image.");
  }
  std::vector<EvaluationPass> passes(int64_t input_size) const override {
    return {{.input_size = input_size, .views = std::make_shared<const BothSides>(input_size)}};
  }
  void average(std::span<const float> logits, std::span<float> scores) const override {
    mean_of_ == "logits" ? average_logits(logits, scores) : average_probabilities(logits, scores);
  }

 private:
  std::string mean_of_ = "probabilities";
};

const auto kFlipped = registered<Protocol, Flipped>("flipped", "the center view and its mirror image");

}  // namespace
}  // namespace residua
