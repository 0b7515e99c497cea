#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/safetensors.h"
#include "core/nn/parameter_store.h"

namespace residua {

/// A store's state in host memory, as files have it: f32, convolutions OIHW. Whatever a save writes comes from one of these, so
/// that the device is read once.
struct StateSnapshot {
  std::vector<HostArray> weights;            // "layer1.0.conv1.weight"
  std::vector<HostArray> velocities;         // under the weights' names; none of a store for inference
  std::vector<HostArray> running_means;      // "layer1.0.bn1": [channels]
  std::vector<HostArray> running_variances;  // under the same names
  int64_t batches_tracked = 0;

  /// The name of a weight, velocity or layer's statistics with a value that is NaN or infinite, if there is one.
  std::optional<std::string> first_not_finite() const;
};

/// Copies each of the store's flat arrays from the device once. Waits for the device.
StateSnapshot snapshot(const ParameterStore& store);

/// A snapshot's weights and running statistics as a file of weights holds them: under torchvision's names and in its layout,
/// with `num_batches_tracked` (i64), so that PyTorch's `load_state_dict(strict=True)` takes them. Views into the snapshot.
std::vector<HostArrayView> weight_arrays(const StateSnapshot& snapshot);

/// A snapshot's arrays as a checkpoint holds them: "weight.*", "velocity.*", "running_mean.*" and "running_variance.*". Views
/// into the snapshot.
std::vector<HostArrayView> checkpoint_arrays(const StateSnapshot& snapshot);

/// Writes weight_arrays() into a safetensors file, which replaces `path` in one step.
void save_weights(const std::string& path, const StateSnapshot& snapshot, const SafetensorsMetadata& metadata);

/// Reads a file of weights. The prefix "module." that PyTorch's DataParallel puts before every name is dropped. Fails with
/// UsageError, which says what to use instead, on a run's checkpoint and on a PyTorch file.
Safetensors read_weights(const std::string& path);

/// Takes the weights out of a file of weights, ours or torchvision's, in f32, f16 or bf16; `num_batches_tracked` may be absent.
/// Arrays whose names begin with `classifier` are the classifier's ("fc."): it is said where the number of classes differs.
/// Nothing is changed unless the whole file fits: fails with UsageError, in one line, on missing, unexpected or misshapen
/// arrays and on values that are not finite.
void load_weights(const Safetensors& file, ParameterStore& store, std::string_view classifier);

/// Puts back what checkpoint_arrays() gave. `path` names the file in messages. Nothing is changed unless all fits: fails with
/// UsageError on missing or misshapen arrays.
void restore(const std::string& path, std::span<const HostArray> arrays, int64_t batches_tracked, ParameterStore& store);

}  // namespace residua
