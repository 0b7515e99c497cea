#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/kernels/accumulate_metrics.h"
#include "core/nn/state_dict.h"
#include "core/optim/schedules/schedule.h"
#include "core/run/checkpoint.h"

namespace residua {

/// Where a run computes. Another place may give other last bits.
struct Machine {
  std::string device = {};     // "cpu, Intel(R) Xeon(R) (avx512)"; empty if the checkpoint does not say
  std::string precision = {};  // "fp32", "bf16" or "fp16"
  int64_t threads = 0;
  int64_t processes = 1;
};
Machine this_machine(Device device, DType precision, int64_t processes = 1);
/// "device: cpu before, cuda:0 now; threads: 2 before, 4 now"; empty if both are the same, or `before` is not known.
std::string different_machine(const Machine& before, const Machine& now);

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
  Machine machine = {};
};

nlohmann::json to_json(const RunState& state);
/// Reads the state of a checkpoint of any format that load_checkpoint() accepts. Fails with UsageError, which names the file.
RunState run_state(const Checkpoint& checkpoint);

/// Writes a checkpoint of `state`, with the snapshot's batches_tracked and arrays, and what describes the network.
void save_run(const std::string& path, RunState state, const StateSnapshot& snapshot, const SafetensorsMetadata& metadata = {},
              std::span<const HostArray> input = {});

/// Reads a checkpoint and restores the store from it. `begun` is the state of the new run. If the model, seed, batch size,
/// images or class names differ, or the file is damaged, fails with UsageError, which says what differs, and changes nothing.
RunState resume_run(const std::string& path, const RunState& begun, ParameterStore& store);

}  // namespace residua
