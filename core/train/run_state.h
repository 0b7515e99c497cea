#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/kernels/accumulate_metrics.h"
#include "core/nn/state_dict.h"
#include "core/optim/schedules/schedule.h"
#include "core/run/checkpoint.h"

namespace residua {

/// Everything besides arrays that a run needs to go on.
struct RunState {
  std::string model;      // with its options, to tell when a checkpoint is of another network
  int64_t epoch = 0;      // epochs completed
  int64_t batch = 0;      // batches of the current epoch already used
  int64_t iteration = 0;  // steps made
  int64_t validated = 0;  // of them, at the last validation
  int64_t tested = 0;     // likewise, at the test
  int64_t seed = 0;
  int64_t batch_size = 0;
  int64_t images = 0;                         // of the training set; 0 where a checkpoint does not say
  std::string train_set = {};                 // set_digest() of the training images; empty where a checkpoint does not say
  std::string validation_set = {};            // of the validation images, likewise; empty for a run without any
  std::vector<std::string> class_names = {};  // in the order of the labels; empty where a checkpoint does not say
  double best_error = 100.0;                  // % of validation images, top-1
  ScheduleState schedule = {};
  float loss_scale = 1.0f;
  int64_t good_steps = 0;         // since the loss scale changed
  MetricsTotals unreported = {};  // of the steps since the last report
  int64_t batches_tracked = 0;    // StateSnapshot::batches_tracked
};

nlohmann::json to_json(const RunState& state);
/// Of any format that load_checkpoint() reads. Fails with UsageError that names the file.
RunState run_state(const Checkpoint& checkpoint);

/// Writes a checkpoint of a run: `state`, with the snapshot's batches_tracked, and the snapshot's arrays.
void save_run(const std::string& path, RunState state, const StateSnapshot& snapshot);

/// Reads a checkpoint and restores the store from it. `begun` is the state that the run would start with. Nothing is changed
/// unless all fits: fails with UsageError, which says what differs, on another model, seed, batch size, set of images or class
/// names, and on a damaged file.
RunState resume_run(const std::string& path, const RunState& begun, ParameterStore& store);

}  // namespace residua
