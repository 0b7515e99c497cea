#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/optim/schedule.h"
#include "core/tensor/device.h"
#include "core/tensor/dtype.h"

namespace residua {

/// The settings of a training run, one member for each flag of `train-imagenet`; `--help` describes them. What depends on the
/// data set (model, batch size, learning rate, length, augmentation) is empty until `fill_defaults`.
struct TrainOptions {
  std::string directory;
  std::string dataset = "auto";
  std::optional<std::string> model;
  std::optional<std::string> shortcut;
  std::string shortcut_pad = "end";
  std::string shortcut_pool = "stride";
  std::string bottleneck_stride = "conv3x3";
  std::string initialization = "fan-in";
  std::string weights;

  std::optional<int64_t> batch_size;
  std::optional<double> epochs;
  std::optional<int64_t> iterations;
  std::optional<double> learning_rate;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  double label_smoothing = 0.0;
  std::string schedule = "step";
  std::vector<double> schedule_steps;
  double schedule_factor = 0.1;
  int64_t warmup_iterations = 0;
  std::string warmup = "linear";
  std::optional<double> warmup_rate;  // else a tenth of the learning rate

  std::string precision = "auto";
  std::string device = "auto";
  int64_t workers = 2;
  int64_t threads = 0;
  std::string cuda_graph = "on";
  bool allow_nondeterministic = false;
  bool allow_runtime_compilation = false;
  int64_t seed = 0;
  std::optional<std::string> augment;
  bool no_shuffle = false;
  std::optional<int64_t> crop_size;
  std::vector<std::string> mean;  // empty, {"pixel"}, {"channel"}, or three numbers
  std::vector<double> std;
  int64_t max_bad_images = 100;
  int64_t synthetic_classes = 10;
  int64_t synthetic_images = 10000;

  std::string output;
  std::string resume;
  int64_t log_every = 50;
  double evaluate_every = 1;

  bool evaluate_only = false;
  bool list_models = false;
  bool summary = false;
  bool overfit_batch = false;
  bool data_only = false;

  /// The settings as a file for `--config`, defaults included.
  std::string toml;
};

/// How a command line was met: with settings, or with text to print and leave by (`--help`).
struct ParsedOptions {
  TrainOptions options;
  std::optional<std::string> text;
};

/// Reads the command line and the file of `--config` or, for a run that is resumed, its config.toml; flags win over the file.
/// Fails with UsageError, in one line that says what was got and what is wanted, on an unknown flag or key, and on a value that
/// is not finite or out of range.
ParsedOptions parse_train_options(int argc, const char* const* argv);

/// Settings that the data set decides where the user did not: for photos the paper's ImageNet recipe, for 32 x 32 images its
/// CIFAR recipe.
void fill_defaults(TrainOptions& options, bool photos);

/// The file that --resume names, or that --resume auto finds in --output; empty where there is nothing to go on from.
std::string checkpoint_to_resume(const TrainOptions& options);

/// "fp32", "bf16", "fp16"; "auto" is bf16 where the device computes in it and fp32 elsewhere. UsageError on another.
DType parse_precision(const std::string& name, Device device);

/// The learning-rate schedule of a run of `total_iterations`; steps are in epochs, or in iterations when --iterations was
/// given.
ScheduleOptions schedule_options(const TrainOptions& options, int64_t iterations_per_epoch, int64_t total_iterations);

}  // namespace residua
