/// Evaluates ten crops of each image: four corners, the center, and their mirror images (Krizhevsky et al. 2012, section 4.1;
/// He et al. 2015, section 3.4).
#include "core/data/views/ten_crop.h"

#include "core/evaluate/protocol.h"

namespace residua {
namespace {

class TenCropProtocol final : public Protocol {
 public:
  std::vector<EvaluationPass> passes(int64_t input_size) const override {
    return {{.input_size = input_size, .views = make_ten_crop(input_size)}};
  }
};

const auto kTenCrop = registered<Protocol, TenCropProtocol>(
    "ten-crop", "resize the shorter side to 256 (for an input of 224); four corners, the center, and their mirror images");

}  // namespace
}  // namespace residua
