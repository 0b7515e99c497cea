#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/kernels/convolution.h"
#include "core/tensor/shape.h"

namespace residua {

class Module;

/// One layer of a model, for a given input.
struct LayerSummary {
  std::string name;  // "layer1.0.conv1"; operations without parameters have one too: "maxpool"
  std::string kind;  // "convolution 3x3, stride 2"
  Shape output{};
  int64_t parameters = 0;                            // without padding
  int64_t multiply_adds = 0;                         // of convolutions and matrix products, forward, for the whole batch
  std::optional<ConvolutionShape> convolution = {};  // with the channels as stored
};

/// What a model is made of and what it costs, found without running it.
struct ModelSummary {
  std::vector<LayerSummary> layers;
  Shape input;
  Shape output{};
  int64_t parameters = 0;
  int64_t multiply_adds = 0;  // one forward pass; a training step costs about three times as much

  /// A printable table: layer, kind, output shape, parameters, multiply-adds; then the totals. One multiply-add is two FLOPs.
  std::string table() const;
};

/// Summarizes `model` for an input [N, H, W, C] with C the model's logical input channels.
/// Fails with UsageError when the model does not take it.
ModelSummary summarize(const Module& model, const Shape& input);

}  // namespace residua
