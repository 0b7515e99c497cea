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
  std::string name;  // "layer1.0.conv1"; ops without parameters have a name too: "maxpool"
  std::string kind;  // "convolution 3x3, stride 2"
  Shape output{};
  int64_t parameters = 0;                            // padding excluded
  int64_t multiply_adds = 0;                         // forward pass of the whole batch; convolutions and matrix products only
  std::optional<ConvolutionShape> convolution = {};  // with the channels in memory
};

/// The layers of a model and their cost, computed without running it.
struct ModelSummary {
  std::vector<LayerSummary> layers;
  Shape input;
  Shape output{};
  int64_t parameters = 0;
  int64_t multiply_adds = 0;  // for one forward pass; a training step costs about three times as much

  /// A printable table of layer, kind, output shape, parameters and multiply-adds, then the totals. One multiply-add is two
  /// FLOPs.
  std::string table() const;
};

/// Summarizes `model` for an input [N, H, W, C], where C is the model's logical number of input channels.
/// Throws UsageError if the input does not fit the model.
ModelSummary summarize(const Module& model, const Shape& input);

}  // namespace residua
