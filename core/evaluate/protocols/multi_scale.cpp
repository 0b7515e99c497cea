/// Evaluates the network as a fully convolutional one on the whole image at five sizes, and on its mirror images (He et al.
/// 2015, section 3.4). The network's global pooling takes the mean over the larger map of features. As the classifier is
/// linear, its answer is the mean of its answers at all places of the map.
#include <array>

#include "core/data/views/whole_image.h"
#include "core/evaluate/protocol.h"

namespace residua {
namespace {

/// The paper's shorter sides for a network of 224 x 224 pixels.
constexpr std::array<int64_t, 5> kShorterSides = {224, 256, 384, 480, 640};

class MultiScale final : public Protocol {
 public:
  std::vector<EvaluationPass> passes(int64_t input_size) const override {
    std::vector<EvaluationPass> passes;
    for (const int64_t side : kShorterSides) {
      const int64_t shorter = input_size * side / 224;
      passes.push_back({.input_size = shorter, .views = make_whole_image(shorter)});
    }
    return passes;
  }
};

const auto kMultiScale = registered<Protocol, MultiScale>(
    "multi-scale",
    "fully convolutional on the whole image with shorter sides of 224, 256, 384, 480 and 640 (for an input of 224), and on its "
    "mirror image");

}  // namespace
}  // namespace residua
