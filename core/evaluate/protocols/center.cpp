/// The center view of each image, with its scores as they are.
#include "core/evaluate/protocol.h"

namespace residua {
namespace {

class Center final : public Protocol {
 public:
  std::vector<EvaluationPass> passes(int64_t input_size) const override {
    return {{.input_size = input_size, .views = make_view("center", input_size)}};
  }
};

const auto kCenter = registered<Protocol, Center>("center", "shorter side scaled, center crop: one view of each image");

}  // namespace
}  // namespace residua
