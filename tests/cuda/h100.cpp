#include "tests/cuda/h100.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/summary.h"
#include "models/resnet.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {

using namespace cuda;

std::string h100_properties() { return read_bytes(RESIDUA_SOURCE_DIR "/tests/cuda/h100.json"); }

const CudnnDevice& h100() {
  static const CudnnDevice device = CudnnDevice::described_by(h100_properties());
  return device;
}

bool is_plain(ConvolutionForm form) { return std::ranges::find(kPlainForms, form) != std::end(kPlainForms); }

std::set<ConvolutionKey> convolutions(ResNetConfig config, DType dtype) {
  const bool imagenet = config.stem == Stem::imagenet;
  const int64_t size = imagenet ? 224 : 32;
  config.stored_in_channels = stored_input_channels(dtype);
  std::set<ConvolutionKey> found;
  for (const LayerSummary& layer : summarize(ResNet(config), {imagenet ? 256 : 128, size, size, 3}).layers) {
    if (layer.convolution) {
      found.insert({ConvolutionForm::forward, dtype, *layer.convolution});
    }
  }
  return found;
}

std::vector<ConvolutionKey> convolutions(DType dtype) {
  std::set<ConvolutionKey> found;
  for (const ResNetConfig& named : named_resnets()) {
    if (named.stem == Stem::imagenet && named.depth() > 50) {
      continue;
    }
    const bool plain = named.shortcut == Shortcut::none;
    for (const Shortcut shortcut : plain ? std::vector{Shortcut::none} : std::vector{Shortcut::b, Shortcut::c}) {
      ResNetConfig config = named;
      config.shortcut = shortcut;
      found.merge(convolutions(config, dtype));
    }
  }
  return {found.begin(), found.end()};
}

ConvolutionKey with_form(ConvolutionKey key, ConvolutionForm form) {
  key.form = form;
  return key;
}

bool builds(ConvolutionGraph& graph, size_t plan) {
  try {
    graph.build(plan);
    return true;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(graph.plans()[plan] + " for "));
    return false;
  }
}

}  // namespace residua::test
