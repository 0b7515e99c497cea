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

/// A store's state in host memory, in the form that files have: f32, convolutions in OIHW. All files of one save are written
/// from one snapshot, so the device is read only once.
struct StateSnapshot {
  std::vector<HostArray> weights;            // "layer1.0.conv1.weight"
  std::vector<HostArray> velocities;         // same names as the weights; empty if the store is for inference
  std::vector<HostArray> running_means;      // "layer1.0.bn1": [channels]
  std::vector<HostArray> running_variances;  // same names as the running means
  int64_t batches_tracked = 0;

  /// The name of a weight, velocity or layer that has a NaN or infinite value, if there is one.
  std::optional<std::string> first_not_finite() const;
};

/// Copies each flat array of the store from the device once. Waits for the device. Uses the memory of an old snapshot if it is
/// given one: new memory takes longer than the copy.
StateSnapshot snapshot(const ParameterStore& store, StateSnapshot memory = {});

/// The snapshot's weights and running statistics as a weights file has them: torchvision's names and layout, and
/// `num_batches_tracked` (i64), so PyTorch's `load_state_dict(strict=True)` accepts them. Views into the snapshot.
std::vector<HostArrayView> weight_arrays(const StateSnapshot& snapshot);

/// The snapshot's arrays as a checkpoint has them: "weight.*", "velocity.*", "running_mean.*" and "running_variance.*". Views
/// into the snapshot.
std::vector<HostArrayView> checkpoint_arrays(const StateSnapshot& snapshot);

/// The names of tensors that describe a network's input, and are not weights, start with this.
inline constexpr std::string_view kInputPrefix = "input.";

/// Writes weight_arrays() and the tensors `input` to a safetensors file. Replaces `path` atomically.
void save_weights(const std::string& path, const StateSnapshot& snapshot, const SafetensorsMetadata& metadata,
                  std::span<const HostArray> input = {});

/// Reads a weights file. Removes the prefix "module." that PyTorch's DataParallel adds to every name. Throws UsageError on a
/// training checkpoint or a PyTorch file; the message says what to use instead.
Safetensors read_weights(const std::string& path);

/// What to do with the classifier in a weights file: load it, or leave the store's as it is.
enum class StoredClassifier : uint8_t { load, ignore };

/// Loads weights from a file of ours or torchvision's, in f32, f16 or bf16. `num_batches_tracked` may be missing; tensors that
/// describe the input are left out. Arrays whose names start with `classifier` ("fc.") belong to the classifier: a different
/// number of classes gets a message of its own, and StoredClassifier::ignore leaves them out, whatever their shapes.
/// Throws UsageError on missing, unexpected or wrongly shaped arrays and on values that are not finite. Changes nothing unless
/// the whole file fits.
void load_weights(const Safetensors& file, ParameterStore& store, std::string_view classifier,
                  StoredClassifier stored = StoredClassifier::load);

/// Restores the arrays of checkpoint_arrays(). `path` names the file in messages. Throws UsageError on missing or wrongly
/// shaped arrays and on values that are not finite. Changes nothing unless all arrays fit.
void restore(const std::string& path, std::span<const HostArray> arrays, int64_t batches_tracked, ParameterStore& store);

}  // namespace residua
