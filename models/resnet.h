#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernels/zero_pad_shortcut.h"
#include "core/nn/layers.h"
#include "core/nn/module.h"

namespace residua {

/// imagenet: 7x7 convolution with stride 2, then 3x3 max-pooling with stride 2. cifar: 3x3 convolution.
enum class Stem : uint8_t { imagenet, cifar };

/// basic: two 3x3 convolutions (He et al. 2015, figure 5 left). bottleneck: 1x1, 3x3, and 1x1 with four times the channels
/// (right).
enum class BlockKind : uint8_t { basic, bottleneck };

/// What a block adds to its output (He et al. 2015, section 4.1). none: nothing, a plain network. Where the dimensions stay the
/// same, a and b add the input. Where they change, a adds it subsampled and padded with zeros (no parameters), b by a 1x1
/// convolution with batch normalization. c puts that convolution into every block.
enum class Shortcut : uint8_t { none, a, b, c };

/// Which convolution of a bottleneck has the stride: the 3x3, as torchvision (whose weights then fit; "V1.5" elsewhere), or the
/// first 1x1, as the paper and its Caffe models.
enum class BottleneckStride : uint8_t { conv3x3, conv1x1 };

/// Everything that tells one plain or residual network from another.
struct ResNetSpec {
  std::string name = "resnet";
  Stem stem = Stem::imagenet;
  BlockKind block = BlockKind::basic;
  std::vector<int64_t> blocks = {2, 2, 2, 2};  // per stage; each stage but the first halves the image and doubles the width
  int64_t width = 64;                          // channels of the stem and of the first stage's 3x3 convolutions
  Shortcut shortcut = Shortcut::b;
  ShortcutPad shortcut_pad = ShortcutPad::end;
  ShortcutPool shortcut_pool = ShortcutPool::stride;
  BottleneckStride bottleneck_stride = BottleneckStride::conv3x3;
  int64_t in_channels = 3;
  int64_t stored_in_channels = 0;  // channels of the input tensor, the extra ones being zero; 0: in_channels
  int64_t classes = 1000;

  /// Number of layers with weights, projections not counted, as in the paper's names: 34 for plain34.
  int64_t depth() const;
  /// Pixels of the side of the images it was designed for: 224, or 32 for the CIFAR networks. It takes others.
  int64_t image_size() const { return stem == Stem::cifar ? 32 : 224; }
};

/// "A", "B", "C" (or lower case); "none" for a plain network. Fails with UsageError on another.
Shortcut parse_shortcut(std::string_view name);
std::string_view name(Shortcut shortcut);

/// Channels that RGB images should be stored with for a type of activations: 4 in 16 bits, else 3. On a Zen 4 machine that made
/// a ResNet-18 step in bf16 1 to 4 % faster in three paired runs; for ResNet-20 there was no difference beyond the noise.
int64_t stored_input_channels(DType compute);

/// One block of a plain or residual network: [N, H, W, in] to [N, H/stride, W/stride, out], ReLU last.
class ResidualBlock : public Module {
 public:
  /// `width` is the channels of the 3x3 convolutions; of `spec` it takes the kind of block and of shortcut.
  ResidualBlock(const ResNetSpec& spec, int64_t in_channels, int64_t width, int64_t stride);
  int64_t out_channels() const { return out_channels_; }
  Tensor forward(const Tensor& x, Mode mode) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

 private:
  struct Layer {
    std::unique_ptr<Conv2d> convolution;
    std::unique_ptr<BatchNorm2d> norm;
  };
  /// torchvision's nn.Sequential of the two: "downsample.0" and "downsample.1".
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
/// Names are torchvision's.
class ResNet : public Module {
 public:
  /// Fails with UsageError on a spec without stages or with sizes below 1.
  explicit ResNet(ResNetSpec spec);

  const ResNetSpec& spec() const { return spec_; }
  /// Channels that the input tensor must have.
  int64_t input_channels() const;
  /// x [N, H, W, input_channels()] in the store's compute type to logits [N, classes] in f32.
  Tensor forward(const Tensor& x, Mode mode) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

 private:
  /// torchvision's nn.Sequential: "layer1", with blocks "0", "1", ...
  class Stage : public Module {
   public:
    void append(std::unique_ptr<ResidualBlock> block);
    Tensor forward(const Tensor& x, Mode mode) override;
    Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

   private:
    std::vector<std::unique_ptr<ResidualBlock>> blocks_;
  };

  ResNetSpec spec_;
  std::unique_ptr<Conv2d> conv1_;
  std::unique_ptr<BatchNorm2d> bn1_;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::unique_ptr<Linear> fc_;
};

}  // namespace residua
