#include "tools/cli/train_command.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <set>

#include "core/base/join.h"
#include "core/run/checkpoint.h"
#include "core/train/run_setup.h"
#include "models/recipes.h"
#include "tools/cli/command_line.h"
#include "tools/cli/config_file.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDescription =
    "Trains the plain and residual networks of He et al. 2015 on ImageNet-style folders, CIFAR, Fashion-MNIST or synthetic "
    "images.";

/// Adds the recipes' values to the help: "256 (recipe photos), 128 (recipe small-images)", or "0.1" where both agree.
void note_recipes(Settings& settings) {
  const std::array<std::string_view, 2> defaults = {default_recipe(true), default_recipe(false)};
  for (const auto& setting : settings.all()) {
    std::string note;
    std::set<std::string> values;
    size_t count = 0;
    for (const std::string_view name : defaults) {
      for (const Assignment& line : find_recipe(name).settings()) {
        if (line.key == setting->name) {
          const std::string value = join(line.words, ",");
          note += fmt::format("{}{} (recipe {})", note.empty() ? "" : ", ", value, name);
          values.insert(value);
          ++count;
        }
      }
    }
    if (values.size() == 1 && count == defaults.size()) {
      setting->default_is(*values.begin());
    } else if (count > 0) {
      setting->default_is(note + (setting->default_note.empty() ? "" : ", else " + setting->default_note));
    }
  }
}

/// The default output folder. Its model may come from the recipe, and the recipe from the data.
std::string folder_of_unnamed_run(const RunConfig& c) {
  if (!c.dataset.named()) {
    fail_setting("resume", "auto", "the run's folder too (output), or the data set that the default folder is named after");
  }
  std::string model = c.model.name;
  if (model.empty()) {
    const bool photos = !open_split(c, Split::val)->fixed_size();
    for (const Assignment& line : find_recipe(c.recipe.empty() ? default_recipe(photos) : c.recipe).settings()) {
      model = line.key == "model" ? line.words.front() : model;
    }
  }
  return default_output(model, c.dataset);
}

void read_file_of(TrainCommand& command, const std::string& path) {
  command.settings.assign(read_config_file(path, command.settings), Layer::file, path);
}

/// Fails on two actions at once, and on an option of an action that was not asked for.
void check_actions(const TrainCommand& command) {
  const TrainActions& a = command.actions;
  const std::vector<std::pair<const char*, bool>> actions = {
      {"evaluate", a.evaluate},           {"dry-run", a.dry_run},           {"layer-statistics", !a.layer_statistics.empty()},
      {"list-models", a.list_models},     {"list-recipes", a.list_recipes}, {"summary", a.summary},
      {"overfit-batch", a.overfit_batch}, {"data-only", a.data_only},       {"exact-weights", !a.exact_weights.empty()}};
  std::vector<std::string> asked;
  for (const auto& [name, is_asked] : actions) {
    if (is_asked) {
      asked.emplace_back(name);
    }
  }
  if (asked.size() > 1) {
    fail_setting(asked[1], "both this and --" + asked[0], "one action");
  }
  const auto belongs = [&](const char* setting, const char* action, bool is_asked) {
    if (command.settings.layer(setting) == Layer::command_line && !is_asked) {
      fail_setting(setting, join(command.settings.find(setting)->get(), ","), fmt::format("--{} too", action));
    }
  };
  for (const char* setting : {"evaluate-on", "predictions", "evaluation-json", "dump-views"}) {
    belongs(setting, "evaluate", a.evaluate);
  }
  belongs("statistics-batches", "layer-statistics", !a.layer_statistics.empty());
}

/// The settings of the file that the command line changes; the folder is not one of them.
std::vector<ChangedSetting> changes_of(const std::vector<Assignment>& file, const Settings& settings) {
  std::vector<ChangedSetting> changes;
  for (const auto& setting : settings.all()) {
    if (setting->layer != Layer::command_line || !setting->saved || setting->name == "output") {
      continue;
    }
    const auto line = std::ranges::find_if(file, [&](const Assignment& a) { return settings.find(a.key) == setting.get(); });
    ChangedSetting change{
        .name = setting->name, .before = line == file.end() ? "" : join(line->words, ","), .now = join(setting->get(), ",")};
    if (change.before != change.now) {
      changes.push_back(std::move(change));
    }
  }
  return changes;
}

void choose_checkpoint(TrainCommand& command) {
  const std::string& resume = command.run.output.resume;
  std::string& output = command.run.output.folder;
  if (resume == "auto") {
    if (output.empty()) {
      output = folder_of_unnamed_run(command.run);
    }
    FoundCheckpoint found = find_checkpoint(output);
    command.checkpoint = found.path;
    for (const std::string& reason : found.passed_over) {
      command.notes.push_back("passed over: " + reason);
    }
    if (!found.path.empty()) {
      command.notes.push_back("resuming from " + found.path);
    }
  } else if (fs::is_regular_file(resume)) {
    command.checkpoint = resume;
  } else {
    fail_setting("resume", resume, "auto, or a file that exists: a run's checkpoint");
  }
  if (command.checkpoint.empty()) {
    return;
  }
  const fs::path folder = fs::path(command.checkpoint).parent_path();
  if (command.actions.config.empty() && fs::exists(folder / kConfigFile)) {
    const std::string file = (folder / kConfigFile).string();
    read_file_of(command, file);
    command.run.output.has_settings = true;
    command.changes = changes_of(read_config_file(file, command.settings), command.settings);
  }
  if (command.settings.layer("output") < Layer::command_line && (command.actions.config.empty() || output.empty())) {
    output = folder.empty() ? "." : folder.string();
  }
}

constexpr const char* kWantedTime = "hours and minutes as HH:MM, such as 11:50 or 00:05";

/// The time in "HH:MM".
std::chrono::minutes time_of(const std::string& name, const std::string& text) {
  int64_t hours = 0;
  int64_t minutes = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, hours);
  const bool parted = first.ec == std::errc() && first.ptr != end && *first.ptr == ':' && end - first.ptr == 3;
  const auto second = parted ? std::from_chars(first.ptr + 1, end, minutes) : first;
  const bool good = parted && second.ec == std::errc() && second.ptr == end && hours >= 0 && hours < 10'000 && minutes >= 0 &&
                    minutes < 60 && hours + minutes > 0;
  if (!good) {
    fail_setting(name, text, kWantedTime);
  }
  return std::chrono::hours(hours) + std::chrono::minutes(minutes);
}

void declare_time_limit(Settings& s, std::chrono::minutes& limit) {
  const std::string name = "time-limit";
  s.add({.name = name,
         .help = "Stop after this time, as HH:MM. The run saves its state and exits with code 75, so that a batch system can "
                 "queue it again.",
         .wanted = kWantedTime,
         .set = [&limit, name](const Words& words) { limit = time_of(name, config_detail::single(name, words, kWantedTime)); },
         .get =
             [&limit] {
               return limit.count() == 0 ? Words() : Words{fmt::format("{:02}:{:02}", limit.count() / 60, limit.count() % 60)};
             }})
      .action();
}

}  // namespace

void declare(Settings& s, TrainActions& a) {
  s.group("Actions");
  s.text("config", a.config, "TOML file with any of these settings, named like the long flags; flags override it.").action();
  s.flag("evaluate", a.evaluate, "Evaluate the weights of --weights and exit; settings that are not given come from that file.")
      .action();
  s.text(
       "evaluate-on", a.evaluate_on,
       "Images for --evaluate: val or train, or val:N or train:N for N images spread evenly over the set. With --holdout, val "
       "is the held-out images and test is the validation split. val if not given.")
      .action();
  s.text("predictions", a.predictions,
         "With --evaluate: write a line of JSON for each image to this file: its name, label and loss, and the five most "
         "probable classes.")
      .action();
  s.text("evaluation-json", a.evaluation_json,
         "With --evaluate: write the results to this JSON file: errors with 95 % intervals, errors by class, confusions, and "
         "the worst images.")
      .action();
  s.text("dump-views", a.dump_views,
         "With --evaluate: write what the network sees to this safetensors file, 2 GiB at most: each view of each image, after "
         "normalization.")
      .action();
  s.flag("dry-run", a.dry_run, "Print the run's resolved settings and their digest as JSON, and exit.").action();
  s.text("layer-statistics", a.layer_statistics,
         "Write the standard deviation of each layer's responses and its gradient norm to this JSON file, and exit. Uses the "
         "weights of --weights, or the initial ones.")
      .action();
  s.text("exact-weights", a.exact_weights,
         "Compute the batch-norm statistics of --weights anew over --exact-bn training images, write the weights to this file, "
         "and exit. Settings of the network that are not given come from the weights.")
      .action();
  s.number("statistics-batches", a.statistics_batches, between(1, 1e6),
           "Number of training batches for --layer-statistics; 10 if not given.")
      .action();
  declare_time_limit(s, a.time_limit);
  s.flag("list-models", a.list_models, "List all networks and exit.").action();
  s.flag("list-recipes", a.list_recipes, "List all recipes and exit.").action();
  s.flag("summary", a.summary, "Print the network's layers with shapes, parameters and FLOPs, and exit.").action();
  s.flag("overfit-batch", a.overfit_batch, "Train on the first batch only; the loss should approach zero.").action();
  s.flag("data-only", a.data_only, "Load one epoch of training images without training, print the speed, and exit.").action();
}

TrainCommand::TrainCommand() {
  declare(settings, run);
  declare(settings, actions);
  note_recipes(settings);
}

Existing TrainCommand::existing() const {
  if (run.output.overwrite) {
    return Existing::overwrite;
  }
  if (run.output.resume == "auto") {
    return Existing::resume_or_start;
  }
  std::error_code none;
  const bool own = !checkpoint.empty() && fs::equivalent(folder_of_checkpoint(checkpoint), run.output.folder, none);
  return own ? Existing::resume : Existing::start;
}

std::optional<std::string> read_train_command(TrainCommand& command, int argc, const char* const* argv) {
  Settings& settings = command.settings;
  const CommandLine line = read_command_line(settings, "train-imagenet", kDescription, argc, argv);
  if (line.text) {
    return line.text;
  }
  bool resumed = false;
  for (const auto& [name, words] : line.given) {
    settings.assign(name, words, Layer::command_line);
    resumed = resumed || name == "resume";
  }
  if (!command.actions.config.empty()) {
    if (!fs::is_regular_file(command.actions.config)) {
      fail_setting("config", command.actions.config, "a file that exists");
    }
    read_file_of(command, command.actions.config);
  }
  check_actions(command);
  settle(settings, command.run);
  if (resumed && command.run.output.overwrite) {
    fail_setting("overwrite", "true", "no --resume: a run is replaced, or it goes on");
  }
  if (resumed) {
    choose_checkpoint(command);
    settle(settings, command.run);
  }
  const std::string& weights = command.run.weights.file;
  if (!weights.empty() && command.checkpoint.empty() && !fs::is_regular_file(weights)) {
    fail_setting("weights", weights, "a file that exists");
  }
  return {};
}

}  // namespace residua
