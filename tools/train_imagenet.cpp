// train-imagenet: trains, evaluates and describes the networks of He et al. 2015. Its flags are the settings that the structs
// of core/train/run_config.h declare; what it does with them is in core/train.
#include <fmt/format.h>
#include <omp.h>

#include <iostream>

#include "core/io/atomic_file.h"
#include "core/nn/state_dict.h"
#include "core/train/actions.h"
#include "core/train/run_setup.h"
#include "core/train/trainer.h"
#include "tools/cli/command_line.h"
#include "tools/cli/curves.h"
#include "tools/cli/descriptions.h"
#include "tools/cli/progress.h"
#include "tools/cli/signals.h"
#include "tools/cli/standard_streams.h"
#include "tools/cli/train_command.h"
#include "tools/cli/warnings.h"

namespace residua {
namespace {

int evaluate(TrainCommand& command, Device device, DType precision, Progress& progress) {
  RunConfig& run = command.run;
  if (run.weights.file.empty()) {
    fail_setting("evaluate", "no weights", "a file of weights too (weights)");
  }
  const Safetensors file = read_weights(run.weights.file);
  Network network = network_of_weights(file, run, command.settings, precision);
  run.input.crop_size = network.input.size;
  const std::shared_ptr<const ImageSource> images = open_split(run, Split::val);
  apply_recipe(command.settings, run, !images->fixed_size());
  if (run.input.mean == MeanKind::pixel || run.input.mean == MeanKind::channel) {
    measure_input(run, *open_split(run, Split::train), network.input);
  }
  check_classes(file, images->class_names());
  progress.notes(images->notes());
  progress.note(headline(network, fmt::format("{} validation", images->size())) + "\n" + headline(run, device, precision));
  const Metrics m = evaluate_weights(file, network, images, run, device, precision, progress);
  progress.note(fmt::format("validation of {} images: loss {:.4f}, top-1 error {:.2f} %, top-5 error {:.2f} %", m.images,
                            m.loss, m.top1_error, m.top5_error));
  return 0;
}

int train(TrainCommand& command, const RunData& data, Network& network, Device device, DType precision, Progress& progress) {
  const RunConfig& run = command.run;
  const RunFolder folder(run.output.folder, command.existing());
  if (!folder.note().empty()) {
    progress.note(folder.note());
  }
  measure_input(run, *data.train, network.input);
  Trainer trainer({.network = network,
                   .config = run,
                   .device = device,
                   .precision = precision,
                   .train = data.train,
                   .validation = data.validation,
                   .folder = folder,
                   .observer = progress,
                   .checkpoint = command.checkpoint});
  progress.note(fmt::format("an epoch trains {} of the {} images; output in {}", trainer.epoch_images(), data.train->size(),
                            folder.path()));
  atomic_write(folder.file(kConfigFile), command.settings.toml());
  catch_signals();
  const int stopped = trainer.train(stop_signal());
  draw_curves(folder.path(), progress);
  return stopped == 0 ? 0 : 128 + stopped;
}

int run(TrainCommand& command) {
  RunConfig& run = command.run;
  const TrainActions& actions = command.actions;
  if (const std::optional<std::string> text = text_without_data(command)) {
    fmt::print("{}", *text);
    return 0;
  }
  const Device device = parse_device(run.training.device);
  const DType precision = compute_type(run.training.precision, device);
  device_api::set_plan_options(device, run.training.plans);
  if (run.training.threads > 0) {
    omp_set_num_threads(static_cast<int>(run.training.threads));
  }
  Progress progress(stdout);
  if (actions.evaluate) {
    return evaluate(command, device, precision, progress);
  }
  const RunData data = open_data(run);
  settle_with_data(command.settings, run, data);
  progress.notes(data.train->notes());
  progress.notes(data.validation->notes());
  Network network = make_network(run, data.train->class_names(), precision);
  if (actions.summary) {
    fmt::print("{}", layers_of(network));
    return 0;
  }
  const std::string images = fmt::format("{} training and {} validation", data.train->size(), data.validation->size());
  progress.note(headline(network, images) + "\n" + headline(run, device, precision));
  if (actions.data_only) {
    progress.note(
        fmt::format("loader alone: {:.0f} img/s", loader_speed(data.train, run, network.input.size, device, progress)));
  } else if (actions.overfit_batch) {
    measure_input(run, *data.train, network.input);
    const bool given = command.settings.layer("iterations") > Layer::recipe;
    overfit_batch(network, data.train, run, device, precision, given ? *run.training.iterations : 200, progress);
  } else {
    return train(command, data, network, device, precision, progress);
  }
  return 0;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  residua::open_standard_streams();
  residua::show_warnings();
  residua::TrainCommand command;
  try {
    if (const auto text = residua::read_train_command(command, argc, argv)) {
      std::cout << *text;
      return 0;
    }
    return residua::run(command);
  } catch (const residua::UsageError& error) {
    std::cerr << residua::worded(error, command.settings, "train-imagenet") << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "train-imagenet: " << error.what() << "\n";
    return 1;
  }
}
