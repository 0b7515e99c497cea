#pragma once

#include <string>
#include <vector>

#include "core/nn/parameter_store.h"

namespace residua {

/// Everything besides arrays that a run needs to go on.
struct TrainState {
  std::string model;      // with its options, to tell when a checkpoint is of another network
  int64_t epoch = 0;      // epochs completed
  int64_t batch = 0;      // batches of the current epoch already used
  int64_t iteration = 0;  // steps made
  int64_t validated = 0;  // of them, at the last validation
  int64_t seed = 0;
  int64_t batch_size = 0;
  int64_t images = 0;            // of the training set; 0 where a checkpoint does not say
  double best_error = 100.0;     // % of validation images, top-1
  std::vector<double> schedule;  // Schedule::numbers()
  float loss_scale = 1.0f;
  int64_t good_steps = 0;  // since the loss scale changed
};

/// Writes weights, velocities, running statistics and `state` into one safetensors file, which replaces `path` in one step: a
/// crash leaves the old file or the new one. Arrays are in checkpoint order (OIHW) and fp32, so precision may change between
/// runs.
void save_checkpoint(const std::string& path, const ParameterStore& store, const TrainState& state);

/// Restores what save_checkpoint wrote. Nothing is changed unless the whole file fits: fails with UsageError that names the
/// file and what differs (`model` against the file's, missing arrays, shapes).
TrainState load_checkpoint(const std::string& path, const std::string& model, ParameterStore& store);

}  // namespace residua
