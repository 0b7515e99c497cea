// train-imagenet: trains, evaluates and describes the networks of He et al. 2015. core/train/run_config.h declares its flags;
// core/train does the work.
#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <utility>

#include "core/base/join.h"
#include "core/distributed/agreement.h"
#include "core/distributed/connect.h"
#include "core/distributed/processors.h"
#include "core/io/atomic_file.h"
#include "core/train/run_description.h"
#include "core/train/run_result.h"
#include "core/train/run_setup.h"
#include "core/train/trainer.h"
#include "tools/cli/command_line.h"
#include "tools/cli/curves.h"
#include "tools/cli/descriptions.h"
#include "tools/cli/progress.h"
#include "tools/cli/ranks.h"
#include "tools/cli/run_program.h"
#include "tools/cli/signals.h"
#include "tools/cli/train_actions.h"
#include "tools/cli/train_command.h"

namespace residua {
namespace {

using Clock = std::chrono::steady_clock;
const Clock::time_point kStart = Clock::now();

/// Shows a training run: its progress on the terminal, and its curves, which are drawn again while it goes on.
class TrainingView final : public RunObserver {
 public:
  TrainingView(Progress& progress, Curves& curves) : progress_(progress), curves_(curves) {}

  void trained(const TrainRecord& record, int64_t total_iterations, double seconds_left) override {
    progress_.trained(record, total_iterations, seconds_left);
  }
  void evaluated(const EvaluationRecord& record) override {
    progress_.evaluated(record);
    if (record.type == "validation") {
      curves_.draw_in_background();
    }
  }
  void note(const std::string& text) override { progress_.note(text); }

 private:
  Progress& progress_;
  Curves& curves_;
};

/// A signal came, on any rank, before the run had anything to save.
struct Stopped {
  int signal;
};

/// Shows a pass of all ranks over the images, and ends it on a signal.
MeasureProgress stoppable(MeasureProgress show, Communicator& ranks) {
  return [show = std::move(show), &ranks](int64_t done, int64_t total) {
    if (const int64_t signal = largest(ranks, stop_signal()); signal != 0) {
      throw Stopped{static_cast<int>(signal)};
    }
    show(done, total);
  };
}

/// Sends this process SIGALRM when the time limit is over, which counts from its start.
void set_time_limit(std::chrono::seconds limit) {
  if (limit.count() > 0) {
    const auto left = limit - std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - kStart);
    ::alarm(static_cast<unsigned>(std::max<int64_t>(left.count(), 1)));
  }
}

/// What all ranks must have alike: the settings that a result or their common calls depend on, the data and the first weights.
Fields fields_of(const Settings& settings, const RunDescription& description, const std::string& checkpoint) {
  Fields fields;
  for (const auto& setting : settings.all()) {
    if (setting->same_on_ranks) {
      fields.emplace_back(setting->name, join(setting->get(), ","));
    }
  }
  for (const auto& [name, value] : description.configuration.items()) {
    fields.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  fields.emplace_back("training images", description.train_set);
  fields.emplace_back("validation images", description.validation_set);
  fields.emplace_back("test images", description.test_set);
  fields.emplace_back("weights", description.weights);
  fields.emplace_back("checkpoint", checkpoint);
  return fields;
}

int train(TrainCommand& command, const RunData& data, Network& network, Device device, DType precision, Progress& progress,
          Communicator& ranks) {
  const RunConfig& run = command.run;
  catch_signals();
  set_time_limit(command.actions.time_limit);
  const RunDescription description = describe_run(command.settings, run, data, network, device, precision);
  check_agreement(ranks, "the settings", fields_of(command.settings, description, command.checkpoint));
  const RunFolder folder = ranks.leads() ? RunFolder(run.output.folder, command.existing()) : RunFolder(run.output.folder);
  if (!folder.note().empty()) {
    progress.note(folder.note());
  }
  progress.notes(command.notes);
  settle_input(command.settings, run, command.checkpoint, data.train, network.input,
               stoppable(progress.pass("measuring the training images"), ranks), &ranks);
  Curves curves(folder.path());
  TrainingView view(progress, curves);
  RunObserver nobody;
  Trainer trainer({.network = network,
                   .config = run,
                   .device = device,
                   .precision = precision,
                   .data = data,
                   .folder = folder,
                   .observer = ranks.leads() ? static_cast<RunObserver&>(view) : nobody,
                   .ranks = &ranks,
                   .checkpoint = command.checkpoint,
                   .changes = command.changes,
                   .save_request = &save_request()});
  progress.note(fmt::format("an epoch uses {} of the {} images; output in {}", trainer.epoch_images(), data.train->size(),
                            folder.path()));
  if (!ranks.leads()) {
    return exit_code(trainer.train(stop_signal()));
  }
  atomic_write(folder.file(kConfigFile), command.settings.toml());
  if (!description.deviations.empty()) {
    progress.note(fmt::format("deviates from the recipe {}:\n  {}", description.recipe, join(description.deviations, "\n  ")));
  }
  const int stopped = train_with_result(trainer, folder, description, stop_signal());
  curves.draw(progress);
  write_report(folder.path(), progress);
  return exit_code(stopped);
}

/// Fails if several ranks were started for an action of one process.
void check_actions_of_ranks(const TrainActions& a, const Launch& launch) {
  const bool other =
      a.summary || a.overfit_batch || a.data_only || a.dry_run || !a.layer_statistics.empty() || !a.exact_weights.empty();
  if (other) {
    check_one_process(launch, "this action");
  }
}

/// Gives a rank its processors: to its compute threads, unless `threads` is set, and as many to those that decode.
void use_processors(RunConfig& run, const RankProcessors& processors, Progress& progress) {
  if (run.training.threads == 0 && run.training.ranks > 1) {
    omp_set_num_threads(static_cast<int>(processors.count));
  }
  run.loader.most_workers = std::min(processors.count, kMaxWorkers);
  if (!processors.note.empty()) {
    progress.note(processors.note);
  }
}

int run(TrainCommand& command, Ranks& ranks) {
  RunConfig& run = command.run;
  const TrainActions& actions = command.actions;
  const Launch& launch = ranks.launch();
  if (const std::optional<std::string> text = text_without_data(command)) {
    fmt::print("{}", *text);
    return 0;
  }
  const Device device = device_of_rank(run.training.device, launch);
  const DType precision = compute_type(run.training.precision, device);
  device_api::set_plan_options(device, run.training.plan_options());
  if (run.training.deterministic) {
    omp_set_dynamic(0);  // results depend on the number of threads
  }
  check_actions_of_ranks(actions, launch);
  run.training.ranks = launch.world;
  Communicator& all = ranks.connect(device, run.training.rank_timeout);
  Progress progress(all.leads() ? stdout : nullptr);
  if (run.training.threads > 0) {
    omp_set_num_threads(static_cast<int>(run.training.threads));
  }
  if (!launch.launcher.empty()) {
    use_processors(run, processors_of_rank(all), progress);
  }
  if (actions.evaluate) {
    evaluate(command, device, precision, progress, all);
    return 0;
  }
  if (!actions.exact_weights.empty()) {
    write_exact_weights(command, device, precision, progress);
    return 0;
  }
  const RunData data = open_data(run);
  settle_with_data(command.settings, run, data);
  Network network = make_network(run, data.train->class_names(), precision);
  if (actions.summary) {
    fmt::print("{}", layers_of(network));
    return 0;
  }
  if (actions.dry_run) {
    fmt::print("{}\n", to_json(describe_run(command.settings, run, data, network, device, precision)).dump(1));
    return 0;
  }
  progress.notes(data.train->notes());
  progress.notes((data.test != nullptr ? data.test : data.validation)->notes());
  progress.note(headline(network, images_of(data)) + "\n" + headline(run, device, precision));
  if (const std::string scaling = describe_scaling(run.schedule, run.training.batch_size); !scaling.empty()) {
    progress.note(scaling);
  }
  if (act_on_data(command, data, network, device, precision, progress)) {
    return 0;
  }
  try {
    return train(command, data, network, device, precision, progress, all);
  } catch (const Stopped& stopped) {
    progress.note("stopped before the first step: there is nothing to save");
    return exit_code(stopped.signal);
  }
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  residua::TrainCommand command;
  residua::Ranks ranks;
  const auto read_and_run = [&] {
    if (const auto text = residua::read_train_command(command, argc, argv)) {
      std::cout << *text;
      return 0;
    }
    return ranks.run([&] { return residua::run(command, ranks); });
  };
  const int code = residua::run_program(
      "train-imagenet", read_and_run,
      [&](const residua::UsageError& error) { return residua::worded(error, command.settings, "train-imagenet"); },
      ranks.prefix());
  ranks.end(code);
  return code;
}
