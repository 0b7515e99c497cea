#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/module.h"
#include "core/nn/parameter.h"
#include "core/tensor/tensor.h"

namespace residua {

/// What the model is for: inference needs neither gradients nor velocities.
enum class Purpose : uint8_t { inference, training };

/// How a store lays a model out.
struct ParameterStoreOptions {
  Device device{};
  DType compute = DType::f32;  // of activations and of the matrix weights that operations read
  /// Of the matrix weights' gradients; all others are f32. Default: what the device's convolutions compute, f32 on the CPU
  /// and the compute type on a CUDA device.
  std::optional<DType> matrix_gradient = {};
  Purpose purpose = Purpose::training;
};

/// The parameters of one role, side by side in flat memory. Each parameter starts at a multiple of 64 bytes in every one of
/// these tensors; what lies between is zero and stays so under SGD.
struct ParameterArena {
  int64_t size = 0;  // elements, padding included
  Tensor master;     // f32
  Tensor copy;       // 16-bit, or undefined
  Tensor velocity;   // f32, or undefined for inference
  Tensor gradient;   // or undefined for inference
};

/// The running statistics of all layers, side by side; padding is zero.
struct StatisticsArena {
  int64_t channels = 0;  // padding included
  Tensor running_mean;
  Tensor running_variance;
  Tensor batch_mean;
  Tensor batch_variance;
  Tensor bessel_correction;
};

/// Gives every parameter and statistic of a model its name and its memory, so that one launch can update all of them. It starts
/// with zero weights, running means 0 and running variances 1: call `initialize`, or load weights. The model must outlive it.
class ParameterStore {
 public:
  /// Fails when two parameters have one name.
  explicit ParameterStore(Module& model, const ParameterStoreOptions& options = {});
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  const ParameterStoreOptions& options() const { return options_; }
  const std::vector<Parameter*>& parameters() const { return parameters_; }
  const std::vector<RunningStatistics*>& statistics() const { return statistics_; }
  /// Fails with UsageError when there is none of that name.
  Parameter& parameter(const std::string& name) const;

  ParameterArena& matrices() { return matrices_; }
  const ParameterArena& matrices() const { return matrices_; }
  ParameterArena& vectors() { return vectors_; }
  const ParameterArena& vectors() const { return vectors_; }
  StatisticsArena& statistics_arena() { return statistics_arena_; }
  const StatisticsArena& statistics_arena() const { return statistics_arena_; }

  /// To be called after masters were written by anything but the optimizer: renews the 16-bit copies and the version.
  void masters_changed();
  /// Grows whenever weights change: a packed weight made at one version is stale at the next.
  int64_t version() const { return version_; }
  void bump_version() { ++version_; }

  /// Forgets all gradients: the next backward() overwrites them.
  void zero_grad();

  /// Steps whose batch statistics went into the running ones: `num_batches_tracked` in checkpoints.
  int64_t batches_tracked = 0;

 private:
  void lay_out(ParameterArena& arena, ParameterRole role, DType gradient_dtype);
  void lay_out_statistics();

  ParameterStoreOptions options_;
  std::vector<Parameter*> parameters_;
  std::vector<RunningStatistics*> statistics_;
  ParameterArena matrices_;
  ParameterArena vectors_;
  StatisticsArena statistics_arena_;
  int64_t version_ = 0;
};

}  // namespace residua
