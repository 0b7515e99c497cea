/// A model family: one convolution and a classifier, as wide as the option says.
#include "core/nn/conv_bn.h"
#include "core/ops/pooling.h"
#include "models/model_family.h"

namespace residua {
namespace {

class Tiny final : public Module {
 public:
  Tiny(int64_t width, int64_t classes)
      : conv_({.in_channels = 3, .out_channels = width, .kernel = 3, .padding = 1}), bn_(width), head_(width, classes) {
    add_child("conv", conv_);
    add_child("bn", bn_);
    add_child("head", head_);
  }

  Tensor forward(const Tensor& x, Mode mode) override {
    return head_.forward(global_average_pool(norm_relu(conv_bn(conv_, bn_, x, mode))), mode);
  }
  Shape summarize(const std::string&, const Shape& input, std::vector<LayerSummary>& rows) const override {
    const Shape y = bn_.summarize("bn", conv_.summarize("conv", input, rows), rows);
    return head_.summarize("head", {y[0], y[3]}, rows);
  }

 private:
  Conv2d conv_;
  BatchNorm2d bn_;
  Linear head_;
};

class TinyFamily final : public ModelFamily {
 public:
  std::vector<ModelInfo> models() const override {
    return {{.name = "tiny8", .description = "one convolution and a classifier", .image_size = 8, .classes = 2}};
  }
  void declare(Settings& settings) override {
    settings.number("tiny-width", width_, between(1, 64), "Channels of the tiny networks.");
  }
  std::unique_ptr<Module> make(const std::string& /*model*/, int64_t classes, DType /*compute*/) const override {
    return std::make_unique<Tiny>(width_, classes);
  }
  std::string classifier() const override { return "head"; }

 private:
  int64_t width_ = 4;
};

const auto kTiny = registered<ModelFamily, TinyFamily>("tiny", "one convolution and a classifier");

}  // namespace
}  // namespace residua
