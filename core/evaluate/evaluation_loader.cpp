#include "core/evaluate/evaluation_loader.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"

namespace residua {
namespace {

std::vector<EvaluationPass> checked_passes(const Protocol& protocol, int64_t input_size) {
  std::vector<EvaluationPass> passes = protocol.passes(input_size);
  const auto sound = [](const EvaluationPass& pass) {
    return pass.views != nullptr && pass.views->count() >= 1 && pass.input_size >= 1 && pass.input_size <= kMaxCropSize;
  };
  if (passes.empty() || !std::ranges::all_of(passes, sound)) {
    fail_usage("evaluation: the protocol needs at least one pass, each with views and an input size of 1 to {} pixels",
               kMaxCropSize);
  }
  return passes;
}

/// The number of samples whose pixels fit into those of `batch_size` views of the network's own size; 1 if sizes of views vary.
int64_t samples_of_a_batch(const std::vector<EvaluationPass>& passes, std::optional<ImageSize> images, int64_t input_size,
                           int64_t batch_size) {
  double most = 1;
  for (const EvaluationPass& pass : passes) {
    const std::optional<ImageSize> view = size_of_views(*pass.views, pass.input_size, images);
    if (!view) {
      return 1;
    }
    const double share = static_cast<double>(view->height * view->width) / static_cast<double>(input_size * input_size);
    most = std::max(most, static_cast<double>(pass.views->count()) * share);
  }
  return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(batch_size) / most));
}

}  // namespace

EvaluationLoader::EvaluationLoader(const std::shared_ptr<const ImageSource>& source, const Protocol& protocol,
                                   int64_t input_size, LoaderOptions options, Average average)
    : average_(average) {
  if (options.bad_images != BadImages::leave_out || options.drop_last || options.shuffle) {
    fail_usage(
        "evaluation: the loader options replace bad images, drop the last batch or shuffle; wanted each image once, in order");
  }
  const std::vector<EvaluationPass> passes = checked_passes(protocol, input_size);
  options.batch_size = samples_of_a_batch(passes, source->fixed_size(), input_size, options.batch_size);
  const auto share_of = [&](int64_t workers) { return std::max<int64_t>(1, workers / static_cast<int64_t>(passes.size())); };
  if (options.workers > 0) {
    options.workers = share_of(options.workers);
  }
  options.most_workers = share_of(options.most_workers > 0 ? options.most_workers : one_worker_a_core());
  for (const EvaluationPass& pass : passes) {
    options.view = pass.views;
    options.crop_size = pass.input_size;
    loaders_.push_back(std::make_unique<Loader>(source, options));
    options.errors = loaders_.back()->options().errors;
  }
}

void EvaluationLoader::start() {
  for (const auto& loader : loaders_) {
    loader->start(0);
  }
}

std::span<const Batch* const> EvaluationLoader::next() {
  batches_.clear();
  for (const auto& loader : loaders_) {
    if (const Batch* batch = loader->next()) {
      batches_.push_back(batch);
    }
  }
  return batches_;
}

bool EvaluationLoader::sizes_vary() const {
  return std::ranges::any_of(loaders_, [](const auto& loader) { return !loader->view_size(); });
}

int64_t EvaluationLoader::most_workers() const {
  int64_t all = 0;
  for (const auto& loader : loaders_) {
    all += loader->most_workers();
  }
  return all;
}

int64_t EvaluationLoader::views() const {
  int64_t all = 0;
  for (size_t pass = 0; pass < passes(); ++pass) {
    all += views(pass);
  }
  return all;
}

}  // namespace residua
