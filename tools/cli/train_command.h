#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/config/settings.h"
#include "core/run/run_folder.h"
#include "core/train/run_config.h"
#include "core/train/run_reporter.h"

namespace residua {

/// The actions besides training, and their options.
struct TrainActions {
  bool evaluate = false;
  bool list_models = false;
  bool list_recipes = false;
  bool summary = false;
  bool overfit_batch = false;
  bool data_only = false;
  bool dry_run = false;
  std::string evaluate_on = "val";  // the images for `evaluate`
  std::string predictions;          // files of `evaluate` to write, or empty
  std::string evaluation_json;
  std::string dump_views;
  std::string layer_statistics;  // file to write, or empty
  std::string exact_weights;     // file to write, or empty
  int64_t statistics_batches = 10;
  std::string config;                  // settings file
  std::chrono::minutes time_limit{0};  // 0: none
};

void declare(Settings& settings, TrainActions& actions);

/// The command line of train-imagenet with all its settings, which are bound to this object: it must not move.
struct TrainCommand {
  TrainCommand();

  RunConfig run;
  TrainActions actions;
  Settings settings;
  std::string checkpoint;               // to resume from, or empty
  std::vector<ChangedSetting> changes;  // what the command line changes in the run that goes on
  std::vector<std::string> notes;       // for the user

  /// What to do if the output folder already holds a run.
  Existing existing() const;
};

/// Reads the command line and the file of --config or, for a resumed run, the config.toml beside its checkpoint; flags override
/// the file. Returns the text to print before exiting, if any. A run resumed without --output writes to the folder of its
/// checkpoint, even if that has moved; `--resume auto` without --output looks in the default folder, and takes the newest
/// checkpoint that is not damaged. apply_recipe() must follow
/// when the data is known. Fails with UsageError.
std::optional<std::string> read_train_command(TrainCommand& command, int argc, const char* const* argv);

}  // namespace residua
