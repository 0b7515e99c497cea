#include "models/resnet.h"

#include <utility>

#include "core/nn/conv_bn.h"
#include "core/ops/pooling.h"
#include "core/ops/zero_pad_shortcut.h"

namespace residua {
namespace {

constexpr int64_t kExpansion = 4;  // ratio of a bottleneck's output channels to its width
constexpr PoolOptions kStemPool{.window = 3, .stride = 2, .padding = 1};

Conv2dSpec convolution(int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride) {
  return {.in_channels = in_channels, .out_channels = out_channels, .kernel = kernel, .stride = stride, .padding = kernel / 2};
}

}  // namespace

ResidualBlock::Projection::Projection(int64_t in_channels, int64_t out_channels, int64_t stride)
    : convolution_(convolution(in_channels, out_channels, 1, stride)), norm_(out_channels) {
  add_child("0", convolution_);
  add_child("1", norm_);
}

Tensor ResidualBlock::Projection::forward(const Tensor& x, Mode mode) { return norm(conv_bn(convolution_, norm_, x, mode)); }

Shape ResidualBlock::Projection::summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const {
  return norm_.summarize(name + ".1", convolution_.summarize(name + ".0", input, rows), rows);
}

ResidualBlock::ResidualBlock(const ResNetConfig& config, int64_t in_channels, int64_t width, int64_t stride)
    : shortcut_(config.shortcut),
      pad_(config.shortcut_pad),
      pool_(config.shortcut_pool),
      stride_(stride),
      in_channels_(in_channels),
      out_channels_(config.block == BlockKind::basic ? width : width * kExpansion) {
  if (config.block == BlockKind::basic) {
    add_layer(convolution(in_channels, width, 3, stride));
    add_layer(convolution(width, width, 3, 1));
  } else {
    const bool stride_first = config.bottleneck_stride == BottleneckStride::conv1x1;
    add_layer(convolution(in_channels, width, 1, stride_first ? stride : 1));
    add_layer(convolution(width, width, 3, stride_first ? 1 : stride));
    add_layer(convolution(width, out_channels_, 1, 1));
  }
  if (shortcut_ != Shortcut::none) {
    layers_.back().norm->weight.initializer = Initializer::last_gamma;
  }
  const bool changes = stride != 1 || in_channels != out_channels_;
  if (shortcut_ == Shortcut::c || (shortcut_ == Shortcut::b && changes)) {
    projection_ = std::make_unique<Projection>(in_channels, out_channels_, stride);
    add_child("downsample", *projection_);
  }
  if (shortcut_ == Shortcut::a && out_channels_ < in_channels) {
    fail_usage("shortcut A cannot map {} channels to {}: it can only add channels", in_channels, out_channels_);
  }
}

void ResidualBlock::add_layer(const Conv2dSpec& spec) {
  layers_.push_back({std::make_unique<Conv2d>(spec), std::make_unique<BatchNorm2d>(spec.out_channels)});
  add_child(fmt::format("conv{}", layers_.size()), *layers_.back().convolution);
  add_child(fmt::format("bn{}", layers_.size()), *layers_.back().norm);
}

Tensor ResidualBlock::shortcut(const Tensor& x, Mode mode) {
  if (projection_ != nullptr) {
    return projection_->forward(x, mode);
  }
  if (stride_ == 1 && in_channels_ == out_channels_) {
    return x;
  }
  return zero_pad_shortcut(x, {.out_channels = out_channels_, .stride = stride_, .pool = pool_, .pad = pad_});
}

Tensor ResidualBlock::forward(const Tensor& x, Mode mode) {
  const Tensor residual = shortcut_ == Shortcut::none ? Tensor() : shortcut(x, mode);
  PendingNorm y = conv_bn(*layers_[0].convolution, *layers_[0].norm, x, mode);
  for (size_t i = 1; i < layers_.size(); ++i) {
    y = conv_bn(*layers_[i].convolution, *layers_[i].norm, y, mode);
  }
  return residual.defined() ? norm_add_relu(y, residual) : norm_relu(y);
}

Shape ResidualBlock::summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const {
  Shape shape = input;
  for (size_t i = 0; i < layers_.size(); ++i) {
    shape = layers_[i].convolution->summarize(fmt::format("{}.conv{}", name, i + 1), shape, rows);
    shape = layers_[i].norm->summarize(fmt::format("{}.bn{}", name, i + 1), shape, rows);
  }
  if (projection_ != nullptr) {
    projection_->summarize(name + ".downsample", input, rows);
  } else if (shortcut_ == Shortcut::a && (stride_ != 1 || in_channels_ != out_channels_)) {
    rows.push_back({.name = name + ".shortcut", .kind = "zero-padded shortcut", .output = shape});
  }
  return shape;
}

void ResNet::Stage::append(std::unique_ptr<ResidualBlock> block) {
  add_child(std::to_string(blocks_.size()), *block);
  blocks_.push_back(std::move(block));
}

Tensor ResNet::Stage::forward(const Tensor& x, Mode mode) {
  Tensor y = x;
  for (const auto& block : blocks_) {
    y = block->forward(y, mode);
  }
  return y;
}

Shape ResNet::Stage::summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const {
  Shape shape = input;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    shape = blocks_[i]->summarize(fmt::format("{}.{}", name, i), shape, rows);
  }
  return shape;
}

ResNet::ResNet(ResNetConfig config) : config_(std::move(config)) {
  check(config_);
  Conv2dSpec stem = config_.stem == Stem::imagenet ? convolution(config_.in_channels, config_.width, 7, 2)
                                                   : convolution(config_.in_channels, config_.width, 3, 1);
  stem.stored_in_channels = config_.stored_in_channels;
  conv1_ = std::make_unique<Conv2d>(stem);
  bn1_ = std::make_unique<BatchNorm2d>(config_.width);
  add_child("conv1", *conv1_);
  add_child("bn1", *bn1_);
  int64_t channels = config_.width;
  int64_t width = config_.width;
  for (size_t i = 0; i < config_.blocks.size(); ++i) {
    auto stage = std::make_unique<Stage>();
    for (int64_t j = 0; j < config_.blocks[i]; ++j) {
      auto block = std::make_unique<ResidualBlock>(config_, channels, width, i > 0 && j == 0 ? 2 : 1);
      channels = block->out_channels();
      stage->append(std::move(block));
    }
    add_child(fmt::format("layer{}", i + 1), *stage);
    stages_.push_back(std::move(stage));
    width = checked_multiply(width, 2);
  }
  fc_ = std::make_unique<Linear>(channels, config_.classes);
  add_child("fc", *fc_);
}

int64_t ResNet::input_channels() const { return conv1_->weight.shape[3]; }

Tensor ResNet::forward(const Tensor& x, Mode mode) {
  const PendingNorm stem = conv_bn(*conv1_, *bn1_, x, mode);
  Tensor y = config_.stem == Stem::imagenet ? norm_relu_max_pool(stem, kStemPool) : norm_relu(stem);
  for (const auto& stage : stages_) {
    y = stage->forward(y, mode);
  }
  return fc_->forward(global_average_pool(y), mode);
}

Shape ResNet::summarize(const std::string&, const Shape& input, std::vector<LayerSummary>& rows) const {
  Shape shape = bn1_->summarize("bn1", conv1_->summarize("conv1", input, rows), rows);
  if (config_.stem == Stem::imagenet) {
    const auto pooled = [](int64_t size) { return (size + 2 * kStemPool.padding - kStemPool.window) / kStemPool.stride + 1; };
    shape = {shape[0], pooled(shape[1]), pooled(shape[2]), shape[3]};
    rows.push_back({.name = "maxpool", .kind = "max pool 3x3, stride 2", .output = shape});
  }
  for (size_t i = 0; i < stages_.size(); ++i) {
    shape = stages_[i]->summarize(fmt::format("layer{}", i + 1), shape, rows);
  }
  shape = {shape[0], shape[3]};
  rows.push_back({.name = "avgpool", .kind = "global average pool", .output = shape});
  return fc_->summarize("fc", shape, rows);
}

}  // namespace residua
