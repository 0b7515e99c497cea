#include "tools/cli/train_actions.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "core/data/digest.h"
#include "core/distributed/agreement.h"
#include "core/evaluate/all_ranks.h"
#include "core/evaluate/image_results.h"
#include "core/evaluate/predictions.h"
#include "core/evaluate/report.h"
#include "core/evaluate/view_dump.h"
#include "core/io/atomic_file.h"
#include "core/io/safetensors_digest.h"
#include "core/nn/state_dict.h"
#include "core/train/actions.h"
#include "core/train/evaluation_files.h"
#include "core/train/layer_statistics.h"
#include "tools/cli/descriptions.h"
#include "tools/cli/output_file.h"

namespace residua {
namespace {

struct EvaluateOn {
  std::string set;     // "val", "train" or "test"
  int64_t images = 0;  // 0: all
};

EvaluateOn evaluate_on(const std::string& text, bool holdout) {
  const size_t colon = text.find(':');
  EvaluateOn on{.set = text.substr(0, colon)};
  const char* end = text.data() + text.size();
  const bool counted = colon != std::string::npos;
  const bool good = !counted || (std::from_chars(text.data() + colon + 1, end, on.images).ptr == end && on.images >= 1);
  if (!good || (on.set != "val" && on.set != "train" && (on.set != "test" || !holdout))) {
    fail_setting("evaluate-on", text,
                 fmt::format("val, train{}, or one of these with :N for N images", holdout ? ", test" : ""));
  }
  return on;
}

/// "protocol ten-crop: 10 views of each image, mean of their softmax outputs".
std::string describe_protocol(const EvaluationOptions& how, int64_t input_size) {
  const int64_t views = count_views(how.chosen(), input_size);
  const bool softmax = how.average == Average::softmax;
  const char* source = softmax && how.protocol == "ten-crop" ? " (as Krizhevsky et al. 2012)" : "";
  return fmt::format("protocol {}: {}", how.protocol,
                     views == 1 ? "one view of each image"
                                : fmt::format("{} views of each image, mean of their {}{}", views,
                                              softmax ? "softmax outputs" : "logits", source));
}

std::shared_ptr<const ImageSource> images_of(const EvaluateOn& on, const RunConfig& run) {
  std::shared_ptr<const ImageSource> images;
  if (run.holdout == 0) {
    images = open_split(run, on.set == "val" ? Split::val : Split::train);
  } else {
    const RunData data = open_data(run);
    images = on.set == "val" ? data.validation : on.set == "test" ? data.test : data.train;
  }
  return on.images > 0 ? clean_images(images, on.images) : images;
}

/// Makes the network of a weights file. The run's images get the size and the orientation that it expects.
Network network_for(TrainCommand& command, const Safetensors& file, DType precision) {
  Network network = network_of_weights(file, command.run, command.settings, precision);
  command.run.input.crop_size = network.input.size;
  command.run.loader.turns_by_exif = network.input.turned_by_exif;
  return network;
}

std::string digest_of(const Safetensors& file) {
  safetensors::Digest digest;
  for (const HostArray& array : file.arrays) {
    digest.add(array.name.data(), array.name.size());
    digest.add(array.bytes.data(), array.bytes.size());
  }
  return digest.digits();
}

/// Replaces the mean in the weights if the command line asks for one of the training images.
void override_mean(TrainCommand& command, Network& network, Progress& progress) {
  RunConfig& run = command.run;
  run.input.crop_size = network.input.size;  // whatever the recipe says
  const bool measured = run.input.mean == MeanKind::pixel || run.input.mean == MeanKind::channel;
  if (measured && command.settings.layer("mean") == Layer::command_line) {
    InputDescription input = network.input;
    measure_input(run, images_of({.set = "train"}, run), input, progress.pass("measuring the training images"));
    network.input.mean = std::move(input.mean);
  }
}

}  // namespace

void evaluate(TrainCommand& command, Device device, DType precision, Progress& progress, Communicator& ranks) {
  RunConfig& run = command.run;
  const TrainActions& actions = command.actions;
  const EvaluateOn on = evaluate_on(actions.evaluate_on, run.holdout > 0);
  check_folder_of("predictions", actions.predictions);
  check_folder_of("evaluation-json", actions.evaluation_json);
  check_folder_of("dump-views", actions.dump_views);
  if (run.weights.file.empty()) {
    fail_usage("evaluate needs a weights file: set weights");
  }
  if (!actions.dump_views.empty() && !ranks.alone()) {
    fail_setting("dump-views", actions.dump_views, "one process: it writes what that process sees");
  }
  const Safetensors file = read_weights(run.weights.file);
  Network network = network_for(command, file, precision);
  std::shared_ptr<const ImageSource> images = images_of(on, run);
  apply_recipe(command.settings, run, !images->fixed_size());
  override_mean(command, network, progress);
  images = images_for(file, network, images);
  check_agreement(ranks, "what they evaluate",
                  {{"weights", digest_of(file)}, {"images", set_digest(*images)}, {"protocol", run.evaluation.protocol}});
  const char* set = on.set == "val" ? "validation" : on.set == "train" ? "training" : "test";
  progress.notes(images->notes());
  progress.note(headline(network, fmt::format("{} {}", images->size(), set)) + "\n" + headline(run, device, precision));
  ImageResults results;
  ViewDump dump(3);
  std::vector<EvaluationObserver*> observers = {&results};
  if (!actions.dump_views.empty()) {
    observers.push_back(&dump);
  }
  const Metrics m = evaluate_weights(file, network, images, run, device, precision, progress, observers, &ranks);
  const std::vector<ImageResult> all = results_of_all(ranks, images->size(), results.all());
  if (!ranks.leads()) {
    return;
  }
  const EvaluationReport report = evaluation_report(all, network.classes());
  const std::string what = on.set == "val" ? fmt::format("validation of {} images", m.images)
                                           : fmt::format("evaluation of {} {} images", m.images, set);
  progress.note(
      fmt::format("{}: loss {:.4f}, top-1 error {:.2f} %, top-5 error {:.2f} %", what, m.loss, m.top1_error, m.top5_error));
  progress.note(describe_protocol(run.evaluation, network.input.size) + "\n" + summary(report, *images));
  if (!actions.predictions.empty()) {
    write_predictions(actions.predictions, all, *images);
  }
  if (!actions.evaluation_json.empty()) {
    const Evaluated evaluated{.network = network,
                              .config = run,
                              .weights = file.path,
                              .iteration = iteration_of(file),
                              .set = set,
                              .images = images,
                              .device = device,
                              .precision = precision};
    atomic_write(actions.evaluation_json, evaluation_text(evaluation_json(evaluated, report)));
  }
  if (!actions.dump_views.empty()) {
    dump.write(actions.dump_views,
               {{"protocol", run.evaluation.protocol}, {"average", std::string(to_text(run.evaluation.average))}});
  }
}

void write_exact_weights(TrainCommand& command, Device device, DType precision, Progress& progress) {
  RunConfig& run = command.run;
  const std::string& path = command.actions.exact_weights;
  check_folder_of("exact-weights", path);
  if (run.weights.file.empty()) {
    fail_setting("exact-weights", path, "a weights file too (weights)");
  }
  const Safetensors file = read_weights(run.weights.file);
  Network network = network_for(command, file, precision);
  const std::shared_ptr<const ImageSource> train = images_of({.set = "train"}, run);
  apply_recipe(command.settings, run, !train->fixed_size());
  override_mean(command, network, progress);
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
    progress.note(fmt::format("loader alone: {:.0f} img/s", loader_speed(data.train, run, network.input, device, progress)));
    return true;
  }
  if (!actions.overfit_batch && actions.layer_statistics.empty()) {
    return false;
  }
  measure_input(run, data.train, network.input, progress.pass("measuring the training images"));
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
