#include "tools/cli/train_actions.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "core/io/atomic_file.h"
#include "core/nn/state_dict.h"
#include "core/train/actions.h"
#include "core/train/layer_statistics.h"
#include "tools/cli/descriptions.h"

namespace residua {
namespace {

struct EvaluateOn {
  std::string set;     // "val", "train" or "test"
  int64_t images = 0;  // for train; 0: all
};

EvaluateOn evaluate_on(const std::string& text, bool holdout) {
  constexpr std::string_view kSome = "train:";
  if (text == "val" || text == "train" || (text == "test" && holdout)) {
    return {.set = text};
  }
  int64_t images = 0;
  const char* end = text.data() + text.size();
  if (!text.starts_with(kSome) || std::from_chars(text.data() + kSome.size(), end, images).ptr != end || images < 1) {
    fail_setting("evaluate-on", text,
                 holdout ? "val, train, test, or train:N for N images" : "val, train, or train:N for N images");
  }
  return {.set = "train", .images = images};
}

std::shared_ptr<const ImageSource> images_of(const EvaluateOn& on, const RunConfig& run) {
  std::shared_ptr<const ImageSource> images;
  if (run.dataset.holdout == 0) {
    images = open_split(run, on.set == "val" ? Split::val : Split::train);
  } else {
    const RunData data = open_data(run);
    images = on.set == "val" ? data.validation : on.set == "test" ? data.test : data.train;
  }
  return on.images > 0 ? clean_images(images, on.images) : images;
}

}  // namespace

void evaluate(TrainCommand& command, Device device, DType precision, Progress& progress) {
  RunConfig& run = command.run;
  const EvaluateOn on = evaluate_on(command.actions.evaluate_on, run.dataset.holdout > 0);
  if (run.weights.file.empty()) {
    fail_setting("evaluate", "no weights", "a weights file too (weights)");
  }
  const Safetensors file = read_weights(run.weights.file);
  Network network = network_of_weights(file, run, command.settings, precision);
  run.input.crop_size = network.input.size;
  const std::shared_ptr<const ImageSource> images = images_of(on, run);
  apply_recipe(command.settings, run, !images->fixed_size());
  if (run.input.mean == MeanKind::pixel || run.input.mean == MeanKind::channel) {
    measure_input(run, *open_split(run, Split::train), network.input);
  }
  check_classes(file, images->class_names());
  const char* set = on.set == "val" ? "validation" : on.set == "train" ? "training" : "test";
  progress.notes(images->notes());
  progress.note(headline(network, fmt::format("{} {}", images->size(), set)) + "\n" + headline(run, device, precision));
  const Metrics m = evaluate_weights(file, network, images, run, device, precision, progress);
  const std::string what = on.set == "val" ? fmt::format("validation of {} images", m.images)
                                           : fmt::format("evaluation of {} {} images", m.images, set);
  progress.note(
      fmt::format("{}: loss {:.4f}, top-1 error {:.2f} %, top-5 error {:.2f} %", what, m.loss, m.top1_error, m.top5_error));
}

void write_exact_weights(TrainCommand& command, Device device, DType precision, Progress& progress) {
  RunConfig& run = command.run;
  const std::string& path = command.actions.exact_weights;
  if (run.weights.file.empty()) {
    fail_setting("exact-weights", path, "a weights file too (weights)");
  }
  const Safetensors file = read_weights(run.weights.file);
  Network network = network_of_weights(file, run, command.settings, precision);
  run.input.crop_size = network.input.size;
  const std::shared_ptr<const ImageSource> train = images_of({.set = "train"}, run);
  apply_recipe(command.settings, run, !train->fixed_size());
  if (run.input.mean == MeanKind::pixel || run.input.mean == MeanKind::channel) {
    measure_input(run, *train, network.input);
  }
  check_classes(file, train->class_names());
  progress.notes(train->notes());
  progress.note(headline(network, fmt::format("{} training", train->size())) + "\n" + headline(run, device, precision));
  write_exact_weights(file, network, train, run, device, precision, path, progress);
  progress.note(
      fmt::format("wrote the weights with batch-norm statistics of {} training images to {}", run.training.exact_bn, path));
}

bool act_on_data(TrainCommand& command, const RunData& data, Network& network, Device device, DType precision,
                 Progress& progress) {
  const RunConfig& run = command.run;
  const TrainActions& actions = command.actions;
  if (actions.data_only) {
    progress.note(
        fmt::format("loader alone: {:.0f} img/s", loader_speed(data.train, run, network.input.size, device, progress)));
    return true;
  }
  if (!actions.overfit_batch && actions.layer_statistics.empty()) {
    return false;
  }
  measure_input(run, *data.train, network.input);
  if (actions.overfit_batch) {
    const bool given = command.settings.layer("iterations") > Layer::recipe;
    overfit_batch(network, data.train, run, device, precision, given ? *run.training.iterations : 200, progress);
  } else {
    const NetworkStatistics statistics =
        measure_layers(network, data.train, run, device, precision, actions.statistics_batches, progress);
    atomic_write(actions.layer_statistics, to_json(statistics, network).dump(1) + "\n");
    progress.note(fmt::format("wrote statistics of {} layers over {} batches to {}", statistics.layers.size(),
                              statistics.batches, actions.layer_statistics));
  }
  return true;
}

}  // namespace residua
