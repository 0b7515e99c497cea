#include "core/evaluate/evaluator.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/autograd/no_grad.h"
#include "core/base/error.h"
#include "core/data/rank_images.h"
#include "core/device/autotune.h"
#include "core/evaluate/all_ranks.h"

namespace residua {
namespace {

/// The mean [C] of a mean image [h, w, C].
Tensor mean_of_channels(const Tensor& image) {
  const auto channels = static_cast<size_t>(image.dim(2));
  std::vector<double> sums(channels);
  const std::vector<float> values = image.to_vector();
  for (size_t i = 0; i < values.size(); ++i) {
    sums[i % channels] += static_cast<double>(values[i]);
  }
  std::vector<float> means;
  for (const double sum : sums) {
    means.push_back(static_cast<float>(sum * static_cast<double>(channels) / static_cast<double>(values.size())));
  }
  return from_values({image.dim(2)}, means, DType::f32, image.device());
}

}  // namespace

Evaluator::Evaluator(Module& model, InputFormat input, Device device, Communicator* ranks)
    : model_(model), input_(std::move(input)), device_(device), ranks_(ranks) {
  if (input_.mean.shape().rank() == 3) {
    channel_mean_ = mean_of_channels(input_.mean);
  }
}

std::optional<Metrics> Evaluator::evaluate(EvaluationLoader* loader, const std::function<bool()>& stop, Observers observers) {
  OneProcess alone;
  Communicator& ranks = ranks_ != nullptr ? *ranks_ : alone;
  MetricsAccumulator sum(device_);
  const bool done = loader == nullptr || evaluate_part(*loader, stop, observers, sum);
  if (largest(ranks, done ? 0 : 1) > 0) {
    return {};
  }
  const Metrics metrics = means(totals_of_all(ranks, sum.totals()));
  if (metrics.images == 0) {
    const Unreadable all = unreadable_of_all(ranks, loader != nullptr ? &loader->errors() : nullptr);
    fail("none of the {} images to evaluate could be read:\n{}", all.count, all.summary);
  }
  return metrics;
}

bool Evaluator::evaluate_part(EvaluationLoader& loader, const std::function<bool()>& stop, Observers observers,
                              MetricsAccumulator& sum) {
  const bool averages = loader.views() > 1 || !observers.empty();
  std::optional<WithoutAutotune> quick;
  if (loader.sizes_vary()) {
    quick.emplace();  // most shapes occur a few times
  }
  loader.start();
  for (auto batches = loader.next(); !batches.empty(); batches = loader.next()) {
    if (stop()) {
      return false;
    }
    if (averages) {
      add_averages(loader, batches, sum, observers);
    } else {
      add(*batches.front(), sum);
    }
  }
  return true;
}

Metrics Evaluator::evaluate(EvaluationLoader& loader, Observers observers) {
  return *evaluate(
      &loader, [] { return false; }, observers);
}

void Evaluator::add(const Batch& batch, MetricsAccumulator& metrics) {
  const NoGrad no_grad;
  const auto [x, logits, labels] = answers(batch, 0);
  metrics.add(softmax_cross_entropy(logits, labels, 0.0f), labels);
  device_api::save_plans(device_);
  uploads_.front().used();
}

void Evaluator::add_averages(const EvaluationLoader& loader, std::span<const Batch* const> batches, MetricsAccumulator& metrics,
                             Observers observers) {
  const NoGrad no_grad;
  const int64_t views = loader.views();
  const std::span<const int64_t> indices = batches.front()->samples;
  std::vector<Tensor> logits;  // queue all passes before waiting for the first
  for (size_t pass = 0; pass < batches.size(); ++pass) {
    const Answers now = answers(*batches[pass], pass);
    logits.push_back(now.logits);
    uploads_[pass].used();
    const auto rows = static_cast<int64_t>(indices.size()) * loader.views(pass);  // without padding
    for (EvaluationObserver* observer : observers) {
      observer->saw(indices, pass, now.x.slice(0, {rows, now.x.dim(1), now.x.dim(2), now.x.dim(3)}));
    }
  }
  const int64_t classes = logits.front().dim(1);
  const int64_t samples = logits.front().dim(0) / loader.views(0);

  const Tensor labels = empty({samples}, DType::i32);
  std::vector<float> gathered(static_cast<size_t>(samples * views * classes));  // [samples, views, classes]
  int64_t first_view = 0;
  for (size_t pass = 0; pass < batches.size(); ++pass) {
    const int64_t count = loader.views(pass);
    const std::vector<float> rows = logits[pass].to_vector();
    const std::span<const int32_t> row_labels = batches[pass]->labels.span<int32_t>();
    for (int64_t s = 0; s < samples; ++s) {
      std::copy_n(rows.begin() + s * count * classes, count * classes, gathered.begin() + (s * views + first_view) * classes);
      int32_t& label = labels.span<int32_t>()[static_cast<size_t>(s)];
      const int32_t now = row_labels[static_cast<size_t>(s * count)];  // all rows of a sample have the same label
      label = pass == 0 || now < 0 ? now : label;
    }
    first_view += count;
  }

  std::vector<float> scores(static_cast<size_t>(samples * classes));
  for (int64_t s = 0; s < samples; ++s) {
    average_views(loader.average(),
                  std::span(gathered).subspan(static_cast<size_t>(s * views * classes), static_cast<size_t>(views * classes)),
                  std::span(scores).subspan(static_cast<size_t>(s * classes), static_cast<size_t>(classes)));
  }
  for (EvaluationObserver* observer : observers) {
    observer->scored(indices, labels.span<int32_t>().first(indices.size()),
                     std::span(scores).first(indices.size() * static_cast<size_t>(classes)));
  }
  const Tensor device_labels = labels.to(device_);
  metrics.add(softmax_cross_entropy(from_values({samples, classes}, scores, DType::f32, device_), device_labels, 0.0f),
              device_labels);
  device_api::save_plans(device_);
}

Evaluator::Answers Evaluator::answers(const Batch& batch, size_t pass) {
  while (uploads_.size() <= pass) {
    uploads_.emplace_back(device_);
  }
  const Batch& on_device = uploads_[pass].upload(batch);
  const Tensor x = prepare_input(on_device.images, on_device.views, format_for(batch));
  return {.x = x, .logits = model_.forward(x, Mode::evaluate), .labels = on_device.labels};
}

InputFormat Evaluator::format_for(const Batch& batch) const {
  InputFormat format = input_;
  format.height = batch.height;
  format.width = batch.width;
  if (channel_mean_.defined() && (input_.mean.dim(0) != batch.height || input_.mean.dim(1) != batch.width)) {
    format.mean = channel_mean_;
  }
  return format;
}

}  // namespace residua
