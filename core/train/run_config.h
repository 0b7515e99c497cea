#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/config/settings.h"
#include "core/data/dataset_options.h"
#include "core/data/input_options.h"
#include "core/data/loader_options.h"
#include "core/device/precision.h"
#include "core/distributed/connect.h"
#include "core/evaluate/protocol.h"
#include "core/nn/initialization.h"
#include "core/optim/schedules/schedule.h"
#include "core/optim/sgd.h"
#include "core/train/divergence_options.h"
#include "core/train/train_step.h"
#include "models/catalog.h"

namespace residua {

/// The initial weights.
struct FirstWeights {
  FanMode initialization = FanMode::fan_in;
  bool zero_gamma = false;        // the last gamma of each residual block starts at 0
  std::string file;               // weights file to start from, or empty
  bool reset_classifier = false;  // keep the initialized classifier, not the file's
  std::string freeze_until;       // the last module that is not trained, or empty
};

/// Training settings besides the optimizer and the learning rate.
struct TrainingOptions {
  int64_t batch_size = 128;            // of all ranks together
  int64_t ranks = 1;                   // that share a batch; not a setting itself
  double rank_timeout = kRankTimeout;  // seconds that a rank may keep the others waiting; 0: no limit
  int64_t accumulate = 1;              // passes of a step; divides the batch size
  int64_t bn_group = 0;                // images that batch norm normalizes together; 0: those of a pass
  bool sync_bn = false;                // whether batch norm normalizes the images of all ranks together
  int64_t exact_bn = 0;                // training images for the final batch-norm statistics; 0: running averages
  std::optional<double> epochs = {};   // after settle(), one of these two is set
  std::optional<int64_t> iterations = {};
  float label_smoothing = 0.0f;
  Precision precision = Precision::automatic;
  std::string device = "auto";
  Capture cuda_graph = Capture::on;
  device_api::PlanOptions plans = {};
  bool deterministic = false;
  int64_t threads = 0;  // 0: one a core; kAuto: what AutoThreads finds
  int64_t seed = 0;

  /// Images that pass through the network of a rank at once.
  int64_t pass_images() const { return std::max<int64_t>(1, batch_size / (accumulate * ranks)); }
  /// The plans that a CUDA device may use.
  device_api::PlanOptions plan_options() const;
};

/// How often a run saves its state between validations: each `iterations` or, if they are 0, each `minutes`.
struct CheckpointInterval {
  int64_t iterations = 0;
  double minutes = 10;
};

/// What a run writes, where, and what it resumes from.
struct OutputOptions {
  std::string folder;
  bool overwrite = false;  // whether a run in the folder is removed
  std::string resume;      // "auto", a checkpoint, or empty
  CheckpointInterval checkpoint_every = {};
  int64_t keep_checkpoints = 2;
  bool has_settings = false;  // whether a run goes on whose config.toml has all settings; not a setting itself
  int64_t log_every = 50;
  double evaluate_every = 1;  // epochs
  int64_t clean_train = 0;    // training images to evaluate at each validation
  std::string trace;          // file for a timeline of a few steps, or empty
};

/// All settings of a training run. `declare` binds them to the members, so the object must not move.
struct RunConfig {
  RunConfig() = default;
  RunConfig(const RunConfig&) = delete;
  RunConfig& operator=(const RunConfig&) = delete;

  std::string recipe;  // provides the values that nothing else sets; empty until chosen
  DatasetOptions dataset;
  int64_t holdout = 0;  // training images to hold out for validation
  InputOptions input;
  LoaderOptions loader = {.workers = kAutoWorkers, .max_bad_images = 100};  // the options that a user sets
  ModelOptions model;
  FirstWeights weights;
  TrainingOptions training;
  ScheduleOptions schedule;
  SgdOptions sgd;
  DivergenceOptions divergence;
  EvaluationOptions evaluation;
  OutputOptions output;
};

void declare(Settings& settings, FirstWeights& options);
void declare(Settings& settings, TrainingOptions& options);
void declare(Settings& settings, OutputOptions& options);
/// Declares all of them, in groups.
void declare(Settings& settings, RunConfig& config);

/// Sets what the user left open from the recipe in `config` or, if that is empty, from the default recipe for the data; then
/// calls settle(). A run that goes on with the settings in its folder takes nothing from its recipe: the recipe may have
/// changed since.
void apply_recipe(Settings& settings, RunConfig& config, bool photos);

/// Resolves settings that exclude each other. Of epochs and iterations, the one from the later layer stays, or iterations if
/// both come from the same layer; the same for warmup-epochs and warmup-iterations. An lr from a later layer than lr-batch-size
/// unsets lr-batch-size. Fails with UsageError if lr-steps and the run's length have different units. May be called again after
/// each layer.
void settle(Settings& settings, RunConfig& config);

/// The run's length in iterations, given `iterations_per_epoch`, and the unit of its lr-steps. Fails with UsageError if no
/// length was given.
RunLength run_length(const TrainingOptions& options, int64_t iterations_per_epoch);

/// The default output folder: "runs/<model>-<data set>".
std::string default_output(std::string_view model, const DatasetOptions& data);

}  // namespace residua
