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

/// All that a run needs to resume, besides arrays.
struct RunState {
  std::string model;      // with its options, to detect a checkpoint of another network
  int64_t epoch = 0;      // epochs completed
  int64_t batch = 0;      // batches done in the current epoch
  int64_t iteration = 0;  // steps done
  int64_t validated = 0;  // iteration of the last validation
  int64_t tested = 0;     // iteration of the test
  int64_t seed = 0;
  int64_t batch_size = 0;
  int64_t images = 0;                         // training images; 0 if the checkpoint does not say
  std::string train_set = {};                 // set_digest() of the training images; empty if the checkpoint does not say
  std::string validation_set = {};            // the same for the validation images; empty if there are none
  std::vector<std::string> class_names = {};  // in label order; empty if the checkpoint does not say
  double best_error = 100.0;                  // lowest top-1 validation error in %
  ScheduleState schedule = {};
  float loss_scale = 1.0f;
  int64_t good_steps = 0;         // since the loss scale changed
  int64_t skipped_steps = 0;      // in all, because of values that were not finite
  int64_t skipped_in_a_row = 0;   // now
  int64_t reported_skips = 0;     // skipped steps that reports have told
  int64_t rollbacks = 0;          // times that the run went back to a checkpoint after it had diverged
  int64_t fixed_threads = 0;      // compute threads of the CPU, on which a deterministic run depends; 0: any
  int64_t exact_bn = 0;           // images of exact batch-norm statistics; 0: running averages
  MetricsTotals unreported = {};  // totals of the steps since the last report
  int64_t batches_tracked = 0;    // StateSnapshot::batches_tracked
};

nlohmann::json to_json(const RunState& state);
/// Reads the state of a checkpoint of any format that load_checkpoint() accepts. Fails with UsageError, which names the file.
RunState run_state(const Checkpoint& checkpoint);

/// Writes a checkpoint of `state`, with the snapshot's batches_tracked and arrays.
void save_run(const std::string& path, RunState state, const StateSnapshot& snapshot);

/// Reads a checkpoint and restores the store from it. `begun` is the state of the new run. If the model, seed, batch size,
/// images or class names differ, or the file is damaged, fails with UsageError, which says what differs, and changes nothing.
RunState resume_run(const std::string& path, const RunState& begun, ParameterStore& store);

}  // namespace residua
