#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace residua {

/// How a parameter is kept: weights of convolutions and matrix products have a copy in the compute type, the rest is fp32
/// throughout.
enum class ParameterRole : uint8_t { matrix, vector };

/// What a parameter starts from. `he_normal` is for convolutions and linear layers (see core/nn/initialization.h).
enum class Initializer : uint8_t { he_normal, zeros, ones };

/// A trained array. A layer declares it; ParameterStore names it and gives it memory: until then its tensors are undefined.
struct Parameter {
  /// `shape` is as stored: [K, R, S, C], [K, C] or [C]; `logical` as in checkpoints: OIHW, [K, C] or [C]. The stored shape may
  /// have more channels than the logical one; those weights are zero and stay zero, because their inputs are.
  Parameter(ParameterRole role, Initializer initializer, Shape shape, Shape logical);

  ParameterRole role;
  Initializer initializer;
  Shape shape;
  Shape logical;
  std::string name;  // from the root of the model: "layer1.0.conv1.weight"
  Tensor master;     // f32: what the optimizer updates
  Tensor value;      // the leaf that operations read: the 16-bit copy of `master`, or `master` itself
  Tensor velocity;   // f32
  Tensor gradient;   // where backward() writes
};

/// The statistics of one batch normalization layer, all [channels] in f32. The batch's are written by a forward pass in
/// training, the running ones by the optimizer's commit.
struct RunningStatistics {
  explicit RunningStatistics(int64_t channel_count) : channels(channel_count) {}

  int64_t channels;
  std::string name;  // of the layer: "layer1.0.bn1"
  Tensor running_mean;
  Tensor running_variance;
  Tensor batch_mean;
  Tensor batch_variance;     // biased
  Tensor bessel_correction;  // rows / (rows - 1)
};

/// `stored` (the parameter's master, velocity or gradient; any floating type) in the order of `parameter.logical`.
std::vector<float> to_logical(const Parameter& parameter, const Tensor& stored);

/// Overwrites `stored` from values in the order of `parameter.logical`; channels beyond the logical ones become zero.
/// Fails when the number of values is not that of the parameter.
void from_logical(const Parameter& parameter, std::span<const float> values, const Tensor& stored);

}  // namespace residua
