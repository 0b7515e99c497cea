#include "core/train/actions.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "core/data/rank_images.h"
#include "core/data/relabeled.h"
#include "core/evaluate/exact_statistics.h"
#include "core/nn/state_dict.h"
#include "core/train/diagnosis.h"
#include "core/train/fitting_batch.h"
#include "core/train/run_saver.h"
#include "core/train/run_setup.h"

namespace residua {
namespace {

/// Notes images of a set that could not be read.
void note_unreadable(const DataErrors& found, const ImageSource& images, const char* what, RunObserver& observer) {
  if (found.count() > 0) {
    observer.note(
        fmt::format("{} of the {} images could not be read and {}:\n{}", found.count(), images.size(), what, found.summary()));
  }
}

/// Notes the training images that a loader had to replace.
void note_replaced(const Loader& loader, RunObserver& observer) {
  note_unreadable(loader.errors(), loader.source(), "were replaced by others", observer);
}

/// Loads until the loader has found the number of its threads.
void settle_workers(Loader& loader) {
  constexpr std::chrono::seconds kSteady(2);  // several times what the loader needs for a decision
  constexpr int64_t kSteadyBatches = 4;
  auto changed = std::chrono::steady_clock::now();
  int64_t batches = 0;  // since then
  int64_t workers = loader.workers();
  for (int64_t epoch = 0;; ++epoch) {
    loader.start(epoch);
    while (loader.next() != nullptr) {
      const auto now = std::chrono::steady_clock::now();
      ++batches;
      if (loader.workers() != workers) {
        workers = loader.workers();
        changed = now;
        batches = 0;
      }
      if (workers == loader.most_workers() || (batches >= kSteadyBatches && now - changed >= kSteady)) {
        return;
      }
    }
  }
}

}  // namespace

std::shared_ptr<const ImageSource> images_for(const Safetensors& file, const Network& network,
                                              std::shared_ptr<const ImageSource> images) {
  const std::vector<std::string>& known = network.input.class_names;
  if (network.input.classes_named) {
    return images->class_names() == known ? images : std::make_shared<const Relabeled>(std::move(images), known, file.path);
  }
  if (images->class_names().size() != known.size()) {
    fail_usage(
        "{} has {} classes without names, but the data has {}: all class folders are wanted, or weights that name their "
        "classes",
        file.path, known.size(), images->class_names().size());
  }
  return images;
}

Metrics evaluate_weights(const Safetensors& file, Network& network, const std::shared_ptr<const ImageSource>& images,
                         const RunConfig& config, Device device, DType precision, RunObserver& observer,
                         Evaluator::Observers observers, Communicator* several) {
  OneProcess alone;
  Communicator& ranks = several != nullptr ? *several : alone;
  ParameterStore store(*network.module, {.device = device, .compute = precision, .purpose = Purpose::inference});
  load_weights(file, store, network.family->classifier() + ".");
  const auto evaluate = [&] {
    const EvaluationPart part = evaluation_part(images, config, network.input.size, device, ranks);
    Evaluator evaluator(*network.module, input_format(network, precision, device), device, &ranks);
    const Metrics metrics = *evaluator.evaluate(
        part.loader.get(), [] { return false; }, observers);
    merge_errors(ranks, *part.errors);
    note_unreadable(*part.errors, *images, "were ignored", observer);
    return metrics;
  };
  return with_advice(evaluate, [&] { return fitting_batch(network, config, device, precision); });
}

void write_exact_weights(const Safetensors& file, Network& network, const std::shared_ptr<const ImageSource>& train,
                         const RunConfig& config, Device device, DType precision, const std::string& path,
                         RunObserver& observer) {
  const int64_t images = config.training.exact_bn;
  if (images == 0) {
    fail_setting("exact-bn", "0", "the number of training images to compute the statistics over");
  }
  ParameterStore store(*network.module, {.device = device, .compute = precision, .purpose = Purpose::inference});
  load_weights(file, store, network.family->classifier() + ".");
  store.set_group_images(config.training.bn_group);
  if (!config.weights.freeze_until.empty()) {
    store.freeze_until(config.weights.freeze_until);
  }
  const std::unique_ptr<Loader> loader = exact_statistics_loader(train, config, network.input, device);
  compute_exact_statistics(*network.module, store, input_format(network, precision, device), *loader, images,
                           [] { return false; });
  note_replaced(*loader, observer);
  SafetensorsMetadata metadata = network_metadata(network);
  metadata.insert(file.metadata.begin(), file.metadata.end());
  metadata[kExactStatisticsKey] = std::to_string(images);
  save_weights(path, snapshot(store), metadata, input_arrays(network));
}

double overfit_batch(Network& network, std::shared_ptr<const ImageSource> train, const RunConfig& config, Device device,
                     DType precision, int64_t iterations, RunObserver& observer) {
  Training training(network, config, device, precision);
  load_first_weights(config, network, training.store());
  const std::unique_ptr<Loader> loader = training_loader(std::move(train), config, network.input, device);
  loader->start(0);
  const Batch* batch = loader->next();
  note_replaced(*loader, observer);
  training.scaler().set_learning_rate(static_cast<float>(rate_for_batch(config.schedule, config.training.batch_size)));
  double loss = 0;
  for (int64_t i = 1; i <= iterations; ++i) {
    training.step().train(*batch);
    const Metrics metrics = training.step().metrics().read();
    training.step().metrics().reset();
    loss = metrics.loss;
    if (i % config.output.log_every == 0 || i == iterations || i == 1) {
      observer.note(fmt::format("iteration {}: loss {:.5f}, top-1 error {:.2f} % of {} images", i, loss, metrics.top1_error,
                                metrics.images));
    }
    if (training.step().state().skipped_in_a_row > 0) {  // the same step would fail again
      fail("the loss or a gradient is not finite at iteration {}: lower the learning rate, or use fp32; {}", i,
           where_not_finite(training, config, *batch));
    }
  }
  return loss;
}

double loader_speed(std::shared_ptr<const ImageSource> train, const RunConfig& config, const InputDescription& input,
                    Device device, RunObserver& observer) {
  const std::unique_ptr<Loader> loader = training_loader(std::move(train), config, input, device);
  if (config.loader.workers == kAutoWorkers) {
    settle_workers(*loader);
    observer.note(fmt::format("loader threads: {}", loader->workers()));
  }
  const auto start = std::chrono::steady_clock::now();
  int64_t images = 0;
  loader->start(0);
  while (const Batch* batch = loader->next()) {
    images += batch->size();
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  note_replaced(*loader, observer);
  return static_cast<double>(images) / seconds;
}

}  // namespace residua
