/// A protocol with several views and several sizes: the center view and its mirror image, and the center view half as large
/// again.
#include "core/data/views/center.h"
#include "core/evaluate/protocol.h"

namespace residua::test {
namespace {

class CenterAndMirror final : public ViewPolicy {
 public:
  explicit CenterAndMirror(int64_t crop_size) : crop_size_(crop_size) {}
  int64_t count() const override { return 2; }
  PlacedView place(ImageSize size, Random& /*random*/, int64_t k) const override {
    PlacedView placed = center_view(size, crop_size_);
    placed.view.flip = static_cast<int32_t>(k);
    return placed;
  }

 private:
  int64_t crop_size_;
};

class TwoSizes final : public Protocol {
 public:
  std::vector<EvaluationPass> passes(int64_t input_size) const override {
    const int64_t larger = input_size * 3 / 2;
    return {{.input_size = input_size, .views = std::make_shared<const CenterAndMirror>(input_size)},
            {.input_size = larger, .views = make_view("center", larger)}};
  }
};

/// The larger view alone.
class Larger final : public Protocol {
 public:
  std::vector<EvaluationPass> passes(int64_t input_size) const override {
    const int64_t larger = input_size * 3 / 2;
    return {{.input_size = larger, .views = make_view("center", larger)}};
  }
};

const auto kLarger = registered<Protocol, Larger>("larger", "one view of another size, for tests");
const auto kTwoSizes = registered<Protocol, TwoSizes>("two-sizes", "two views of one size and one of another, for tests");

}  // namespace
}  // namespace residua::test
