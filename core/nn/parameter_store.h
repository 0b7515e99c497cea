#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/kernels/step_state.h"
#include "core/nn/module.h"
#include "core/nn/parameter.h"
#include "core/tensor/tensor.h"

namespace residua {

/// What a store is used for. Inference needs no gradients and no momentum buffers.
enum class Purpose : uint8_t { inference, training };

/// How a store lays out a model in memory.
struct ParameterStoreOptions {
  Device device{};
  DType compute = DType::f32;  // type of activations and of the matrix weights that ops read
  /// Type of the matrix weights' gradients; all other gradients are f32. Default: f32 on the CPU and the compute type on a CUDA
  /// device, which are the types that their convolutions write.
  std::optional<DType> matrix_gradient = {};
  Purpose purpose = Purpose::training;
};

/// The parameters of one role, contiguous in flat memory. In each of these tensors, every parameter starts at a multiple of 64
/// bytes. The padding between them is zero, and stays zero under SGD.
struct ParameterArena {
  int64_t size = 0;    // elements, padding included
  int64_t frozen = 0;  // elements at the front that training leaves as they are
  Tensor master;       // f32
  Tensor copy;         // 16-bit, or undefined
  Tensor velocity;     // f32, or undefined for inference
  Tensor gradient;     // undefined for inference
};

/// The statistics of all layers, contiguous in flat memory. Padding is zero.
struct StatisticsArena {
  int64_t channels = 0;  // padding included
  int64_t frozen = 0;    // channels at the front that training leaves as they are
  Tensor running_mean;
  Tensor running_variance;
  Tensor batch_mean;
  Tensor batch_variance;
  Tensor bessel_correction;
  Tensor pass_means;  // [2, channels]: the mean over the passes of a step of the means and of the unbiased variances
};

/// Gives every parameter and statistic of a model its name and its memory, so that one launch can update all of them. Weights
/// and running means start at 0, running variances at 1: call `initialize` or load weights next. The model must outlive the
/// store.
class ParameterStore {
 public:
  /// Throws Error if two parameters have the same name.
  explicit ParameterStore(Module& model, const ParameterStoreOptions& options = {});
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  const ParameterStoreOptions& options() const { return options_; }
  const std::vector<Parameter*>& parameters() const { return parameters_; }
  const std::vector<RunningStatistics*>& statistics() const { return statistics_; }
  /// The parameter with this name. Throws UsageError if there is none.
  Parameter& parameter(const std::string& name) const;

  ParameterArena& matrices() { return matrices_; }
  const ParameterArena& matrices() const { return matrices_; }
  ParameterArena& vectors() { return vectors_; }
  const ParameterArena& vectors() const { return vectors_; }
  StatisticsArena& statistics_arena() { return statistics_arena_; }
  const StatisticsArena& statistics_arena() const { return statistics_arena_; }

  /// Refreshes the 16-bit copies. Call it after anything but the optimizer has written masters.
  void masters_changed();

  /// Freezes all parameters up to and including those of a module: "layer2", or "layer2.0". The order is that of parameters().
  /// Frozen parameters get no gradient, no weight decay and no update; backward() ends where they begin. A batch normalization
  /// among them uses its running statistics in training too, and leaves them as they are. Call this before training. Throws
  /// UsageError about the setting "freeze-until" that lists the modules if there is none of this name, and if it leaves nothing
  /// to train.
  void freeze_until(const std::string& module);

  /// Discards all gradients: the next backward() overwrites them.
  void zero_grad();

  /// Makes training normalize at most so many images together; 0: the whole batch. Throws UsageError about the setting
  /// "sync-bn" if the ranks are to normalize together.
  void set_group_images(int64_t images);
  /// Makes training normalize over the batches of all ranks together. All ranks must then run each training forward, and its
  /// backward, together. `ranks` must outlive them. Throws UsageError about the setting "sync-bn" if there are groups.
  void synchronize_norms(Communicator& ranks);

  /// Updates the running statistics: running = (1 - momentum) * running + momentum * (statistics of the last training forward).
  /// Applies the Bessel correction to the variance, as PyTorch does. Changes nothing if `state`, on the device, has found_inf
  /// set, which means the step is skipped.
  void commit_statistics(float momentum, const StepState* state);
  /// For a step of several forward passes: notes the statistics of the last one, which is number `pass` (from 0) of the step.
  void note_pass(int64_t pass);
  /// Like commit_statistics, with the mean over the passes noted.
  void commit_passes(float momentum, const StepState* state);
  /// Updates `batches_tracked` from the accepted steps of a state that was read from the device.
  void count_batches(const StepState& state);

  /// Steps whose batch statistics are in the running statistics: `num_batches_tracked` in checkpoints.
  int64_t batches_tracked = 0;

 private:
  void lay_out(ParameterArena& arena, ParameterRole role, DType gradient_dtype);
  void lay_out_statistics();
  size_t end_of(const std::string& module) const;

  ParameterStoreOptions options_;
  std::vector<Parameter*> parameters_;
  std::vector<RunningStatistics*> statistics_;
  ParameterArena matrices_;
  ParameterArena vectors_;
  StatisticsArena statistics_arena_;
  int64_t counted_batches_ = 0;  // accepted steps already added to `batches_tracked`
};

}  // namespace residua
