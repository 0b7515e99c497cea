#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace residua {

class Communicator;

/// How a parameter is stored. `matrix`: weights of convolutions and linear layers, with a copy in the compute type. `vector`:
/// all others, fp32 only.
enum class ParameterRole : uint8_t { matrix, vector };

/// How a parameter is initialized. `he_normal` is for convolutions and linear layers (see core/nn/initialization.h).
/// `last_gamma` is for the last gamma of a residual block: ones, or zeros if a run asks for them.
enum class Initializer : uint8_t { he_normal, zeros, ones, last_gamma };

/// A trained array. A layer declares it, and ParameterStore gives it a name and memory. Until then its tensors are undefined.
struct Parameter {
  /// `shape` is the shape in memory: [K, R, S, C], [K, C] or [C]. `logical` is the shape in checkpoints: OIHW, [K, C] or [C].
  /// Memory may have more channels than `logical`. Those weights are zero and stay zero, because their inputs are zero.
  Parameter(ParameterRole role, Initializer initializer, Shape shape, Shape logical);

  ParameterRole role;
  Initializer initializer;
  Shape shape;
  Shape logical;
  bool of_norm = false;  // whether it is gamma or beta of a normalization
  std::string name;      // full name: "layer1.0.conv1.weight"
  bool frozen = false;   // whether training leaves it as it is
  Tensor master;         // f32; the optimizer updates it
  Tensor value;          // the leaf that ops read: the 16-bit copy of `master`, or `master` itself
  Tensor velocity;       // f32; the momentum buffer
  Tensor gradient;       // backward() writes it
};

/// The statistics of one batch normalization layer, all f32 [channels]. A forward pass in training writes the batch statistics;
/// the optimizer's commit updates the running statistics.
struct RunningStatistics {
  explicit RunningStatistics(int64_t channel_count) : channels(channel_count) {}

  int64_t channels;
  std::string name;     // the layer's full name: "layer1.0.bn1"
  bool frozen = false;  // whether training uses the running statistics and leaves them as they are
  Tensor running_mean;
  Tensor running_variance;
  Tensor batch_mean;
  Tensor batch_variance;          // biased; of several groups, the mean of their unbiased variances
  Tensor bessel_correction;       // rows / (rows - 1); of several groups, 1; of several ranks, with the rows of all
  int64_t group_images = 0;       // images that training normalizes together; 0: the whole batch
  Tensor totals = {};             // BatchNormTensors::totals
  Communicator* ranks = nullptr;  // ranks that training normalizes together; null: this process alone
};

/// The values of `stored` (the parameter's master, velocity or gradient, in any floating type) in the order of
/// `parameter.logical`.
std::vector<float> to_logical(const Parameter& parameter, const Tensor& stored);
/// The same from host memory to host memory.
void to_logical(const Parameter& parameter, std::span<const float> stored, std::span<float> values);

/// Overwrites `stored` with values in the order of `parameter.logical`. Channels beyond the logical ones become zero.
/// Throws Error if the number of values is wrong.
void from_logical(const Parameter& parameter, std::span<const float> values, const Tensor& stored);

}  // namespace residua
