#include "core/train/training.h"

#include <utility>

#include "core/data/rank_images.h"
#include "core/nn/initialization.h"
#include "core/nn/state_dict.h"

namespace residua {

Training::Training(Network& network, const RunConfig& config, Device device, DType precision, Communicator* ranks)
    : network_(network),
      store_(*network.module, {.device = device,
                               .compute = precision,
                               .matrix_gradient = config.training.accumulate > 1 ? std::optional(DType::f32) : std::nullopt}),
      scaler_(device, precision == DType::f16 ? std::optional(LossScaling{}) : std::nullopt,
              config.divergence.max_skipped_steps),
      sgd_(store_, scaler_, config.sgd),
      step_(*network.module, store_, scaler_, sgd_,
            {.input = input_format(network, precision, device),
             .label_smoothing = config.training.label_smoothing,
             .most_images = config.training.pass_images(),
             .capture = config.training.cuda_graph,
             .ranks = ranks}) {
  store_.set_group_images(config.training.bn_group);
  if (config.training.sync_bn && ranks != nullptr) {
    store_.synchronize_norms(*ranks);
  }
  initialize(store_, static_cast<uint64_t>(config.training.seed), config.weights.initialization, config.weights.zero_gamma);
  if (!config.weights.freeze_until.empty()) {
    store_.freeze_until(config.weights.freeze_until);
  }
}

namespace {

LoaderOptions loader_options(const RunConfig& config, int64_t input_size, Device device) {
  LoaderOptions options = config.loader;
  options.batch_size = config.training.batch_size;
  options.crop_size = input_size;
  options.seed = static_cast<uint64_t>(config.training.seed);
  options.device = device;
  return options;
}

LoaderOptions training_options(const RunConfig& config, const InputDescription& input, Device device,
                               const Communicator& ranks) {
  LoaderOptions options = loader_options(config, input.size, device);
  options.view = make_view(config.input.views, config.input.view,
                           {.crop_size = input.size, .colors = input.colors.value_or(kImageNetColors)});
  options.shuffle = !config.input.no_shuffle;
  options.bad_images = BadImages::replace;
  options.rank = ranks.rank();
  options.world = ranks.world();
  return options;
}

/// Without shuffling, dropping an incomplete last batch would exclude the same images in every epoch.
bool drops_last(int64_t images, const RunConfig& config) {
  return !config.input.no_shuffle && images >= config.training.batch_size;
}

}  // namespace

int64_t batches_per_epoch(int64_t images, const RunConfig& config) {
  return images / config.training.batch_size + (last_batch_incomplete(images, config) ? 1 : 0);
}

bool last_batch_incomplete(int64_t images, const RunConfig& config) {
  return images % config.training.batch_size != 0 && !drops_last(images, config);
}

std::unique_ptr<Loader> training_loader(std::shared_ptr<const ImageSource> source, const RunConfig& config,
                                        const InputDescription& input, Device device, const Communicator& ranks) {
  LoaderOptions options = training_options(config, input, device, ranks);
  options.drop_last = drops_last(source->size(), config);
  return std::make_unique<Loader>(std::move(source), std::move(options));
}

int64_t exact_batch(const TrainingOptions& o) {
  const int64_t size = pass_size((o.exact_bn + o.ranks - 1) / o.ranks, o.pass_images());
  const int64_t group = o.bn_group;
  return group > 0 && group < size ? std::min((size + group - 1) / group * group, o.pass_images()) : size;
}

std::unique_ptr<Loader> exact_statistics_loader(std::shared_ptr<const ImageSource> source, const RunConfig& config,
                                                const InputDescription& input, Device device, const Communicator& ranks) {
  LoaderOptions options = training_options(config, input, device, ranks);
  options.batch_size = exact_batch(config.training) * ranks.world();
  options.drop_last = source->size() >= options.batch_size;
  return std::make_unique<Loader>(std::move(source), std::move(options));
}

std::unique_ptr<EvaluationLoader> evaluation_loader(const std::shared_ptr<const ImageSource>& source, const RunConfig& config,
                                                    int64_t input_size, Device device, std::shared_ptr<DataErrors> errors) {
  LoaderOptions options = loader_options(config, input_size, device);
  options.errors = std::move(errors);
  options.batch_size = config.training.pass_images();
  options.pad_last = device.type == Device::Type::cuda;  // so that no plan is tuned for a partial batch
  return std::make_unique<EvaluationLoader>(source, config.evaluation.chosen(), input_size, std::move(options),
                                            config.evaluation.average);
}

EvaluationPart evaluation_part(const std::shared_ptr<const ImageSource>& images, const RunConfig& config, int64_t input_size,
                               Device device, const Communicator& ranks) {
  if (images == nullptr) {
    return {};
  }
  const LoaderOptions& limits = config.loader;
  const auto errors = std::make_shared<DataErrors>(limits.max_bad_images, limits.max_bad_share, images->size());
  const std::shared_ptr<const ImageSource> own = images_of_rank(images, ranks);
  return {.loader = own != nullptr ? evaluation_loader(own, config, input_size, device, errors) : nullptr, .errors = errors};
}

}  // namespace residua
