// A network of one's own. Linked into any program of Residua, this file adds `model=stack4` and the setting `stack-width`.
#include <deque>

#include "core/nn/conv_bn.h"
#include "core/nn/layers.h"
#include "core/ops/pooling.h"
#include "models/model_family.h"

namespace {

using namespace residua;

/// Convolutions of 3x3 in a row, each with batch norm and ReLU, then global average pooling and a classifier.
class Stack final : public Module {
 public:
  Stack(int depth, int64_t width, int64_t classes) : head_(width, classes) {
    for (int i = 0; i < depth; ++i) {
      const Conv2dSpec spec{.in_channels = i == 0 ? 3 : width, .out_channels = width, .kernel = 3, .padding = 1};
      add_child("conv" + std::to_string(i), convs_.emplace_back(spec));
      add_child("bn" + std::to_string(i), norms_.emplace_back(width));
    }
    add_child("head", head_);
  }

  Tensor forward(const Tensor& x, Mode mode) override {
    Tensor y = x;
    for (size_t i = 0; i < convs_.size(); ++i) {
      y = norm_relu(conv_bn(convs_[i], norms_[i], y, mode));
    }
    return head_.forward(global_average_pool(y), mode);
  }

  // For `train-imagenet --summary`.
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override {
    Shape y = input;
    for (size_t i = 0; i < convs_.size(); ++i) {
      y = norms_[i].summarize(name + "bn" + std::to_string(i), convs_[i].summarize(name + "conv" + std::to_string(i), y, rows),
                              rows);
    }
    return head_.summarize(name + "head", {y[0], y[3]}, rows);
  }

 private:
  std::deque<Conv2d> convs_;  // a deque does not move what it holds
  std::deque<BatchNorm2d> norms_;
  Linear head_;
};

class StackFamily final : public ModelFamily {
 public:
  std::vector<ModelInfo> models() const override {
    return {{.name = "stack4", .description = "four convolutions and a classifier", .image_size = 32, .classes = 10}};
  }
  void declare(Settings& settings) override {
    settings.number("stack-width", width_, between(1, 1024), "Channels of the convolutions of stack4.");
  }
  std::unique_ptr<Module> make(const std::string&, int64_t classes, DType) const override {
    return std::make_unique<Stack>(4, width_, classes);
  }
  std::string classifier() const override { return "head"; }

 private:
  int64_t width_ = 32;
};

const auto kStack = registered<ModelFamily, StackFamily>("stack", "convolutions in a row");

}  // namespace
