#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/enum_text.h"
#include "core/config/settings.h"
#include "core/kernels/zero_pad_shortcut.h"

namespace residua {

/// imagenet: 7x7 convolution with stride 2, then 3x3 max-pooling with stride 2. cifar: 3x3 convolution.
enum class Stem : uint8_t { imagenet, cifar };
template <>
inline constexpr auto kEnumText<Stem> = enum_text<Stem>({{Stem::imagenet, "imagenet"}, {Stem::cifar, "cifar"}});

/// basic: two 3x3 convolutions (He et al. 2015, figure 5 left). bottleneck: 1x1, 3x3, and 1x1 with four times the channels
/// (right).
enum class BlockKind : uint8_t { basic, bottleneck };
template <>
inline constexpr auto kEnumText<BlockKind> = enum_text<BlockKind>({{BlockKind::basic, "basic"},
                                                                   {BlockKind::bottleneck, "bottleneck"}});

/// The shortcut of a block (He et al. 2015, section 4.1). none: no shortcut, a plain network. a: identity; where dimensions
/// change, the input is subsampled and zero-padded (no parameters). b: identity; where dimensions change, a projection (1x1
/// convolution with batch normalization). c: a projection in every block.
enum class Shortcut : uint8_t { none, a, b, c };
template <>
inline constexpr auto kEnumText<Shortcut> =
    enum_text<Shortcut>({{Shortcut::a, "A"}, {Shortcut::b, "B"}, {Shortcut::c, "C"}, {Shortcut::none, "none"}});

/// Which convolution of a bottleneck has stride 2: the 3x3, as in torchvision (needed to load its weights; also called "V1.5"),
/// or the first 1x1, as in the paper and its Caffe models.
enum class BottleneckStride : uint8_t { conv3x3, conv1x1 };
template <>
inline constexpr auto kEnumText<BottleneckStride> = enum_text<BottleneckStride>({{BottleneckStride::conv3x3, "conv3x3"},
                                                                                 {BottleneckStride::conv1x1, "conv1x1"}});

template <>
inline constexpr auto kEnumText<ShortcutPool> = enum_text<ShortcutPool>({{ShortcutPool::stride, "stride"},
                                                                         {ShortcutPool::average, "average"}});

template <>
inline constexpr auto kEnumText<ShortcutPad> = enum_text<ShortcutPad>({{ShortcutPad::end, "end"}, {ShortcutPad::both, "both"}});

/// The configuration of a plain or residual network.
struct ResNetConfig {
  std::string name = "resnet";
  Stem stem = Stem::imagenet;
  BlockKind block = BlockKind::basic;
  std::vector<int64_t> blocks = {2, 2, 2,
                                 2};  // per stage; each stage after the first halves the resolution and doubles the width
  int64_t width = 64;                 // channels of the stem and of the first stage's 3x3 convolutions
  Shortcut shortcut = Shortcut::b;
  ShortcutPad shortcut_pad = ShortcutPad::end;
  ShortcutPool shortcut_pool = ShortcutPool::stride;
  BottleneckStride bottleneck_stride = BottleneckStride::conv3x3;
  int64_t in_channels = 3;
  int64_t stored_in_channels = 0;  // channels of the input tensor; extra ones are zero; 0: in_channels
  int64_t classes = 1000;

  /// Number of layers with weights, without projections, as in the paper's names: 34 for plain34.
  int64_t depth() const;
  /// Side in pixels of the images that it was designed for: 224, or 32 for CIFAR networks. It accepts other sizes.
  int64_t image_size() const { return stem == Stem::cifar ? 32 : 224; }
  /// A one-line description: "residual network of 34 layers for ImageNet images".
  std::string description() const;
};

/// Fails with UsageError on a network without stages, or with a size below 1.
void check(const ResNetConfig& config);

/// All named networks, ImageNet ones first. ImageNet residual networks have shortcut B, as in torchvision; CIFAR ones have A,
/// as in the paper.
const std::vector<ResNetConfig>& named_resnets();

/// One of the named networks. Fails with UsageError on an unknown name.
const ResNetConfig& named_resnet(std::string_view name);

/// The options of a named network.
struct ResNetOptions {
  std::optional<Shortcut> shortcut;  // unset: the network's own
  ShortcutPad shortcut_pad = ShortcutPad::end;
  ShortcutPool shortcut_pool = ShortcutPool::stride;
  BottleneckStride bottleneck_stride = BottleneckStride::conv3x3;
};
void declare(Settings& settings, ResNetOptions& options);

/// Applies options to a network. Fails with UsageError on a shortcut for a plain network, and on none for a residual one.
ResNetConfig configured(ResNetConfig config, const ResNetOptions& options);

/// Channels to store RGB images with, by activation type: 4 in 16 bits, else 3. On a Zen 4 machine, 4 made a bf16 step of
/// ResNet-18 1 to 4 % faster in three paired runs, and that of ResNet-20 no faster beyond the noise.
int64_t stored_input_channels(DType compute);

}  // namespace residua
