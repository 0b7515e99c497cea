#include "tools/cli/descriptions.h"

#include <fmt/format.h>
#include <omp.h>

#include "core/nn/summary.h"
#include "core/train/run_setup.h"
#include "models/catalog.h"
#include "models/recipes.h"

namespace residua {
namespace {

ModelSummary summary_of(const Network& network) {
  return summarize(*network.module, {1, network.input.size, network.input.size, 3});
}

std::string list_of_models() {
  std::string text;
  for (const CatalogEntry& entry : model_catalog()) {
    text += fmt::format("{:<14}{}\n", entry.model.name, entry.model.description);
  }
  return text;
}

std::string list_of_recipes() {
  std::string text;
  for (const Recipe& recipe : recipes()) {
    text += fmt::format("{:<16}{}\n", recipe.name, recipe.description());
  }
  return text;
}

}  // namespace

std::optional<std::string> text_without_data(TrainCommand& command) {
  RunConfig& run = command.run;
  if (command.actions.list_models) {
    return list_of_models();
  }
  if (command.actions.list_recipes) {
    return list_of_recipes();
  }
  if (!command.actions.summary || run.dataset.named()) {
    return {};
  }
  apply_recipe(command.settings, run, run.model.name.empty() || catalog_entry(run.model.name).model.image_size > 32);
  return layers_of(make_network(run, {}, compute_type(run.training.precision, parse_device(run.training.device))));
}

std::string layers_of(const Network& network) { return summary_of(network).table() + "\n"; }

std::string headline(const Network& network, const std::string& images) {
  const ModelSummary summary = summary_of(network);
  return fmt::format("{} ({:.2f} M parameters, {:.2f} G multiply-adds per image) on {} images, {} classes, {}x{} px",
                     network.name, static_cast<double>(summary.parameters) * 1e-6,
                     static_cast<double>(summary.multiply_adds) * 1e-9, images, network.classes(), network.input.size,
                     network.input.size);
}

std::string images_of(const RunData& data) {
  if (data.test == nullptr) {
    return fmt::format("{} training and {} validation", data.train->size(), data.validation->size());
  }
  return fmt::format("{} training, {} validation and {} test", data.train->size(), data.validation->size(), data.test->size());
}

std::string headline(const RunConfig& run, Device device, DType precision) {
  const TrainingOptions& o = run.training;
  return fmt::format(
      "{} on {}, {}{} {}, global batch size {}{}{}, loader threads {}", name(precision), device.string(),
      o.ranks > 1 ? fmt::format("{} ranks with ", o.ranks) : "", omp_get_max_threads(),
      omp_get_max_threads() == 1 ? "thread" : "threads", o.batch_size,
      o.accumulate > 1 ? fmt::format(" in {} passes", o.accumulate) : "",
      o.bn_group > 0 && o.bn_group < o.pass_images() ? fmt::format(", batch norm over groups of {}", o.bn_group) : "",
      run.loader.workers == kAutoWorkers ? "auto" : std::to_string(run.loader.workers));
}

}  // namespace residua
