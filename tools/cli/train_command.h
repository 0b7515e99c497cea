#pragma once

#include <optional>
#include <string>

#include "core/config/settings.h"
#include "core/run/run_folder.h"
#include "core/train/run_config.h"

namespace residua {

/// What a command line can ask for besides a run.
struct TrainActions {
  bool evaluate = false;
  bool list_models = false;
  bool list_recipes = false;
  bool summary = false;
  bool overfit_batch = false;
  bool data_only = false;
  bool dry_run = false;
  std::string evaluate_on = "val";  // what `evaluate` takes
  std::string layer_statistics;     // file to write, or empty
  int64_t statistics_batches = 10;
  std::string config;  // file of settings
};

void declare(Settings& settings, TrainActions& actions);

/// The command line of train-imagenet with all its settings. It keeps its place: the settings are bound to it.
struct TrainCommand {
  TrainCommand();

  RunConfig run;
  TrainActions actions;
  Settings settings;
  std::string checkpoint;  // to go on from, or empty

  /// What the run does with an output folder that holds one: another run's is not overwritten.
  Existing existing() const;
};

/// Reads the command line and the file of --config or, for a run that is resumed, the config.toml beside its checkpoint; flags
/// win over the file. Returns the text to print and leave by, where there is one. A run that is resumed without --output has
/// the folder of its checkpoint, wherever it was moved to; `--resume auto` without --output looks in the default folder. The
/// recipe is applied when the data is known (apply_recipe). Fails with UsageError.
std::optional<std::string> read_train_command(TrainCommand& command, int argc, const char* const* argv);

}  // namespace residua
