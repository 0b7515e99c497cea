#include "models/resnet_config.h"

#include <algorithm>
#include <numeric>

namespace residua {
namespace {

ResNetConfig named(ResNetConfig config) {
  config.name = fmt::format("{}{}", config.shortcut == Shortcut::none ? "plain" : "resnet", config.depth());
  return config;
}

std::vector<ResNetConfig> build() {
  std::vector<ResNetConfig> all;
  const auto add_imagenet = [&](Shortcut shortcut, BlockKind block, std::vector<int64_t> blocks) {
    all.push_back(named({.stem = Stem::imagenet, .block = block, .blocks = std::move(blocks), .shortcut = shortcut}));
  };
  const auto add_cifar = [&](Shortcut shortcut, int64_t n) {
    all.push_back(named({.stem = Stem::cifar, .blocks = {n, n, n}, .width = 16, .shortcut = shortcut, .classes = 10}));
  };
  add_imagenet(Shortcut::none, BlockKind::basic, {2, 2, 2, 2});
  add_imagenet(Shortcut::none, BlockKind::basic, {3, 4, 6, 3});
  add_imagenet(Shortcut::b, BlockKind::basic, {2, 2, 2, 2});
  add_imagenet(Shortcut::b, BlockKind::basic, {3, 4, 6, 3});
  add_imagenet(Shortcut::b, BlockKind::bottleneck, {3, 4, 6, 3});
  add_imagenet(Shortcut::b, BlockKind::bottleneck, {3, 4, 23, 3});
  add_imagenet(Shortcut::b, BlockKind::bottleneck, {3, 8, 36, 3});
  for (const int64_t n : {3, 5, 7, 9, 18}) {
    add_cifar(Shortcut::none, n);
  }
  for (const int64_t n : {3, 5, 7, 9, 18, 200}) {
    add_cifar(Shortcut::a, n);
  }
  return all;
}

}  // namespace

int64_t ResNetConfig::depth() const {
  const int64_t count = std::accumulate(blocks.begin(), blocks.end(), int64_t{0});
  return count * (block == BlockKind::basic ? 2 : 3) + 2;
}

std::string ResNetConfig::description() const {
  return fmt::format("{} network of {} layers for {} images{}", shortcut == Shortcut::none ? "plain" : "residual", depth(),
                     stem == Stem::cifar ? "CIFAR" : "ImageNet", block == BlockKind::bottleneck ? ", bottleneck blocks" : "");
}

void check(const ResNetConfig& config) {
  const auto positive = [&](int64_t value, const char* what) {
    if (value < 1) {
      fail_usage("{}: {} is {}, wanted at least 1", config.name, what, value);
    }
  };
  positive(static_cast<int64_t>(config.blocks.size()), "the number of stages");
  for (const int64_t blocks : config.blocks) {
    positive(blocks, "the number of blocks in a stage");
  }
  positive(config.width, "the width");
  positive(config.in_channels, "the number of input channels");
  positive(config.classes, "the number of classes");
  if (config.stored_in_channels != 0 && config.stored_in_channels < config.in_channels) {
    fail_usage("{}: inputs are stored with {} channels; wanted 0, or at least the {} input channels", config.name,
               config.stored_in_channels, config.in_channels);
  }
}

const std::vector<ResNetConfig>& named_resnets() {
  static const std::vector<ResNetConfig> all = build();
  return all;
}

const ResNetConfig& named_resnet(std::string_view name) {
  const auto found = std::ranges::find(named_resnets(), name, &ResNetConfig::name);
  if (found == named_resnets().end()) {
    fail_setting("model", name, "the name of a plain or residual network, such as resnet18 or plain20");
  }
  return *found;
}

void declare(Settings& settings, ResNetOptions& options) {
  settings
      .choice("shortcut", options.shortcut,
              "Shortcut of residual blocks (section 4.1 of the paper). A: identity, zero-padded where dimensions change. B: "
              "1x1 projection where dimensions change. C: projection in every block. none: plain networks.")
      .chosen_by_run()
      .default_is("depends on the model");
  settings.choice("shortcut-pad", options.shortcut_pad,
                  "Where shortcut A adds the zero channels. end: after the others. both: half before, half after.");
  settings.choice("shortcut-pool", options.shortcut_pool,
                  "How shortcut A halves the resolution. stride: every second pixel. average: 2x2 average pooling.");
  settings.choice("bottleneck-stride", options.bottleneck_stride,
                  "Which convolution of a bottleneck block has stride 2: conv3x3 (torchvision) or conv1x1 (the paper).");
}

ResNetConfig configured(ResNetConfig config, const ResNetOptions& options) {
  const Shortcut shortcut = options.shortcut.value_or(config.shortcut);
  if (shortcut != config.shortcut && config.shortcut == Shortcut::none) {
    fail_setting("shortcut", to_text(shortcut), fmt::format("none: {} is a plain network, without shortcuts", config.name));
  }
  if (shortcut != config.shortcut && shortcut == Shortcut::none) {
    fail_setting("shortcut", "none",
                 fmt::format("A, B or C: {} is a residual network; without shortcuts, choose the model plain{}", config.name,
                             config.depth()));
  }
  config.shortcut = shortcut;
  config.shortcut_pad = options.shortcut_pad;
  config.shortcut_pool = options.shortcut_pool;
  config.bottleneck_stride = options.bottleneck_stride;
  return config;
}

int64_t stored_input_channels(DType compute) { return compute == DType::f32 ? 3 : 4; }

}  // namespace residua
