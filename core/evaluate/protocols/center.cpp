/// Evaluates the center view of each image.
#include "core/evaluate/protocol.h"

namespace residua {
namespace {

class Center final : public Protocol {
 public:
  std::vector<EvaluationPass> passes(int64_t input_size) const override {
    return {{.input_size = input_size, .views = make_view("center", input_size)}};
  }
};

const auto kCenter = registered<Protocol, Center>("center", "resize the shorter side, center crop: one view per image");

}  // namespace
}  // namespace residua
