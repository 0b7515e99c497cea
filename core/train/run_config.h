#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/config/settings.h"
#include "core/data/input_options.h"
#include "core/data/loader.h"
#include "core/data/source.h"
#include "core/device/precision.h"
#include "core/evaluate/protocol.h"
#include "core/nn/initialization.h"
#include "core/optim/schedules/schedule.h"
#include "core/optim/sgd.h"
#include "core/train/train_step.h"
#include "models/catalog.h"

namespace residua {

/// What to train on.
struct DatasetOptions {
  std::string folder;
  std::string name = "auto";
  Kinds<SourceKind> kinds = {};  // with their own options
  int64_t holdout = 0;           // training images to validate on
};

/// The first weights.
struct FirstWeights {
  FanMode initialization = FanMode::fan_in;
  std::string file;  // to start from, or empty
};

/// How to train, besides the optimizer and the learning rate.
struct TrainingOptions {
  int64_t batch_size = 128;
  std::optional<double> epochs = {};  // of these two, one is set once the settings are settled
  std::optional<int64_t> iterations = {};
  float label_smoothing = 0.0f;
  Precision precision = Precision::automatic;
  std::string device = "auto";
  Capture cuda_graph = Capture::on;
  device_api::PlanOptions plans = {};
  int64_t threads = 0;
  int64_t seed = 0;
};

/// What a run writes, where, and what it goes on from.
struct OutputOptions {
  std::string folder;
  std::string resume;  // "auto", a checkpoint, or empty
  int64_t log_every = 50;
  double evaluate_every = 1;  // epochs
  int64_t clean_train = 0;    // training images that are evaluated with each validation
};

/// Everything that a training run is made of. `declare` binds the settings to its members: it must keep its place.
struct RunConfig {
  RunConfig() = default;
  RunConfig(const RunConfig&) = delete;
  RunConfig& operator=(const RunConfig&) = delete;

  std::string recipe;  // whose values stand where nothing else does; empty until it is known
  DatasetOptions dataset;
  InputOptions input;
  LoaderOptions loader = {.workers = 2, .max_bad_images = 100};  // the part of it that a user chooses
  ModelOptions model;
  FirstWeights weights;
  TrainingOptions training;
  ScheduleOptions schedule;
  SgdOptions sgd;
  EvaluationOptions evaluation;
  OutputOptions output;
};

void declare(Settings& settings, DatasetOptions& options);
void declare(Settings& settings, FirstWeights& options);
void declare(Settings& settings, TrainingOptions& options);
void declare(Settings& settings, OutputOptions& options);
/// All of them, in groups.
void declare(Settings& settings, RunConfig& config);

/// Gives the settings that the user left open the values of the recipe in `config`, or, where that is empty, of the one for
/// such a set; then settles them.
void apply_recipe(Settings& settings, RunConfig& config, bool photos);

/// Settings that overrule each other: of epochs and iterations the one of the later layer stays, or iterations where both are
/// of one; a learning rate from a later layer than lr-batch-size is taken as it is. Fails with UsageError when lr-steps are in
/// another unit than the run's length. May be called again after each layer.
void settle(Settings& settings, RunConfig& config);

/// The run's iterations over a loader of `iterations_per_epoch`, and the unit of its lr-steps. Fails with UsageError when no
/// length was given.
RunLength run_length(const TrainingOptions& options, int64_t iterations_per_epoch);

/// Where a run goes that names no folder: "runs/<model>-<data set>".
std::string default_output(std::string_view model, const DatasetOptions& data);

}  // namespace residua
