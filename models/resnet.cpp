#include "models/resnet.h"

#include <utility>

#include "core/ops/pooling.h"
#include "core/ops/zero_pad_shortcut.h"

namespace residua {
namespace {

constexpr int64_t kExpansion = 4;  // of a bottleneck
constexpr PoolOptions kStemPool{.window = 3, .stride = 2, .padding = 1};

Conv2dSpec convolution(int64_t in_channels, int64_t out_channels, int64_t kernel, int64_t stride) {
  return {.in_channels = in_channels, .out_channels = out_channels, .kernel = kernel, .stride = stride, .padding = kernel / 2};
}

void check_spec(const ResNetSpec& spec) {
  const auto check = [&](int64_t value, const char* what) {
    if (value < 1) {
      fail_usage("{}: {} is {}, wanted at least 1", spec.name, what, value);
    }
  };
  check(static_cast<int64_t>(spec.blocks.size()), "the number of stages");
  for (const int64_t blocks : spec.blocks) {
    check(blocks, "the number of blocks in a stage");
  }
  check(spec.width, "the width");
  check(spec.in_channels, "the number of input channels");
  check(spec.classes, "the number of classes");
  if (spec.stored_in_channels != 0 && spec.stored_in_channels < spec.in_channels) {
    fail_usage("{}: inputs are stored with {} channels, wanted 0 or at least the {} there are", spec.name,
               spec.stored_in_channels, spec.in_channels);
  }
}

}  // namespace

int64_t ResNetSpec::depth() const {
  int64_t count = 0;
  for (const int64_t stage : blocks) {
    count += stage;
  }
  return count * (block == BlockKind::basic ? 2 : 3) + 2;
}

Shortcut parse_shortcut(std::string_view text) {
  if (text == "A" || text == "a") {
    return Shortcut::a;
  }
  if (text == "B" || text == "b") {
    return Shortcut::b;
  }
  if (text == "C" || text == "c") {
    return Shortcut::c;
  }
  if (text == "none") {
    return Shortcut::none;
  }
  fail_usage("unknown shortcut '{}': wanted A, B or C", text);
}

std::string_view name(Shortcut shortcut) {
  switch (shortcut) {
    case Shortcut::none: return "none";
    case Shortcut::a: return "A";
    case Shortcut::b: return "B";
    case Shortcut::c: return "C";
  }
  return "?";
}

ResidualBlock::Projection::Projection(int64_t in_channels, int64_t out_channels, int64_t stride)
    : convolution_(convolution(in_channels, out_channels, 1, stride)), norm_(out_channels) {
  add_child("0", convolution_);
  add_child("1", norm_);
}

Tensor ResidualBlock::Projection::forward(const Tensor& x, Mode mode) {
  return norm_.forward(norm_.after(convolution_, x, mode), mode);
}

Shape ResidualBlock::Projection::summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const {
  return norm_.summarize(name + ".1", convolution_.summarize(name + ".0", input, rows), rows);
}

ResidualBlock::ResidualBlock(const ResNetSpec& spec, int64_t in_channels, int64_t width, int64_t stride)
    : shortcut_(spec.shortcut),
      pad_(spec.shortcut_pad),
      pool_(spec.shortcut_pool),
      stride_(stride),
      in_channels_(in_channels),
      out_channels_(spec.block == BlockKind::basic ? width : width * kExpansion) {
  if (spec.block == BlockKind::basic) {
    add_layer(convolution(in_channels, width, 3, stride));
    add_layer(convolution(width, width, 3, 1));
  } else {
    const bool stride_first = spec.bottleneck_stride == BottleneckStride::conv1x1;
    add_layer(convolution(in_channels, width, 1, stride_first ? stride : 1));
    add_layer(convolution(width, width, 3, stride_first ? 1 : stride));
    add_layer(convolution(width, out_channels_, 1, 1));
  }
  const bool changes = stride != 1 || in_channels != out_channels_;
  if (shortcut_ == Shortcut::c || (shortcut_ == Shortcut::b && changes)) {
    projection_ = std::make_unique<Projection>(in_channels, out_channels_, stride);
    add_child("downsample", *projection_);
  }
  if (shortcut_ == Shortcut::a && out_channels_ < in_channels) {
    fail_usage("shortcut A cannot go from {} channels to {}: it only adds channels", in_channels, out_channels_);
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
  PendingNorm y = layers_.front().norm->after(*layers_.front().convolution, x, mode);
  for (size_t i = 1; i < layers_.size(); ++i) {
    y = layers_[i].norm->after_relu(*layers_[i].convolution, y, mode);
  }
  const BatchNorm2d& last = *layers_.back().norm;
  return residual.defined() ? last.forward_add_relu(y, residual, mode) : last.forward_relu(y, mode);
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

ResNet::ResNet(ResNetSpec spec) : spec_(std::move(spec)) {
  check_spec(spec_);
  Conv2dSpec stem = spec_.stem == Stem::imagenet ? convolution(spec_.in_channels, spec_.width, 7, 2)
                                                 : convolution(spec_.in_channels, spec_.width, 3, 1);
  stem.stored_in_channels = spec_.stored_in_channels;
  conv1_ = std::make_unique<Conv2d>(stem);
  bn1_ = std::make_unique<BatchNorm2d>(spec_.width);
  add_child("conv1", *conv1_);
  add_child("bn1", *bn1_);
  int64_t channels = spec_.width;
  int64_t width = spec_.width;
  for (size_t i = 0; i < spec_.blocks.size(); ++i) {
    auto stage = std::make_unique<Stage>();
    for (int64_t j = 0; j < spec_.blocks[i]; ++j) {
      auto block = std::make_unique<ResidualBlock>(spec_, channels, width, i > 0 && j == 0 ? 2 : 1);
      channels = block->out_channels();
      stage->append(std::move(block));
    }
    add_child(fmt::format("layer{}", i + 1), *stage);
    stages_.push_back(std::move(stage));
    width = checked_multiply(width, 2);
  }
  fc_ = std::make_unique<Linear>(channels, spec_.classes);
  add_child("fc", *fc_);
}

int64_t stored_input_channels(DType compute) { return compute == DType::f32 ? 3 : 4; }

int64_t ResNet::input_channels() const { return conv1_->weight.shape[3]; }

Tensor ResNet::forward(const Tensor& x, Mode mode) {
  const PendingNorm stem = bn1_->after(*conv1_, x, mode);
  Tensor y = spec_.stem == Stem::imagenet ? bn1_->forward_relu_max_pool(stem, kStemPool, mode) : bn1_->forward_relu(stem, mode);
  for (const auto& stage : stages_) {
    y = stage->forward(y, mode);
  }
  return fc_->forward(global_average_pool(y), mode);
}

Shape ResNet::summarize(const std::string&, const Shape& input, std::vector<LayerSummary>& rows) const {
  Shape shape = bn1_->summarize("bn1", conv1_->summarize("conv1", input, rows), rows);
  if (spec_.stem == Stem::imagenet) {
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
