#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/nn/layers.h"
#include "core/nn/module.h"
#include "models/resnet_config.h"

namespace residua {

/// One block of a plain or residual network: [N, H, W, in] to [N, H/stride, W/stride, out], ReLU last.
class ResidualBlock : public Module {
 public:
  /// `width` is the number of channels of the 3x3 convolutions; `config` gives the kinds of block and shortcut.
  ResidualBlock(const ResNetConfig& config, int64_t in_channels, int64_t width, int64_t stride);
  int64_t out_channels() const { return out_channels_; }
  Tensor forward(const Tensor& x, Mode mode) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

 private:
  struct Layer {
    std::unique_ptr<Conv2d> convolution;
    std::unique_ptr<BatchNorm2d> norm;
  };
  /// Convolution and normalization, named as in torchvision: "downsample.0" and "downsample.1".
  class Projection : public Module {
   public:
    Projection(int64_t in_channels, int64_t out_channels, int64_t stride);
    Tensor forward(const Tensor& x, Mode mode) override;
    Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

   private:
    Conv2d convolution_;
    BatchNorm2d norm_;
  };

  void add_layer(const Conv2dSpec& convolution);
  Tensor shortcut(const Tensor& x, Mode mode);

  Shortcut shortcut_;
  ShortcutPad pad_;
  ShortcutPool pool_;
  int64_t stride_;
  int64_t in_channels_;
  int64_t out_channels_;
  std::vector<Layer> layers_;
  std::unique_ptr<Projection> projection_;
};

/// The networks of He et al. 2015, plain and residual: stem, stages of blocks, global average pooling, linear classifier.
/// Parameter names are torchvision's.
class ResNet : public Module {
 public:
  /// Fails as check(config) does.
  explicit ResNet(ResNetConfig config);

  const ResNetConfig& config() const { return config_; }
  /// Required channels of the input tensor.
  int64_t input_channels() const;
  /// Maps x [N, H, W, input_channels()] in the store's compute type to logits [N, classes] in f32.
  Tensor forward(const Tensor& x, Mode mode) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

 private:
  /// A stage, named as in torchvision: "layer1", with blocks "0", "1", ...
  class Stage : public Module {
   public:
    void append(std::unique_ptr<ResidualBlock> block);
    Tensor forward(const Tensor& x, Mode mode) override;
    Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

   private:
    std::vector<std::unique_ptr<ResidualBlock>> blocks_;
  };

  ResNetConfig config_;
  std::unique_ptr<Conv2d> conv1_;
  std::unique_ptr<BatchNorm2d> bn1_;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::unique_ptr<Linear> fc_;
};

}  // namespace residua
