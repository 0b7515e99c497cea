#include "core/evaluate/evaluator.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/autograd/no_grad.h"
#include "core/base/error.h"
#include "core/evaluate/mean_image.h"

namespace residua {

Evaluator::Evaluator(Module& model, InputFormat input, Device device)
    : model_(model), input_(std::move(input)), device_(device) {}

std::optional<Metrics> Evaluator::evaluate(EvaluationLoader& loader, const std::function<bool()>& stop) {
  MetricsAccumulator sum(device_);
  const bool averages = loader.views() > 1;
  loader.start();
  for (auto batches = loader.next(); !batches.empty(); batches = loader.next()) {
    if (stop()) {
      return {};
    }
    if (averages) {
      add_averages(loader, batches, sum);
    } else {
      add(*batches.front(), sum);
    }
  }
  const Metrics metrics = sum.read();
  if (metrics.images == 0) {
    fail("none of the {} images to evaluate could be read:\n{}", loader.source().size(), loader.errors().summary());
  }
  return metrics;
}

Metrics Evaluator::evaluate(EvaluationLoader& loader) {
  return *evaluate(loader, [] { return false; });
}

void Evaluator::add(const Batch& batch, MetricsAccumulator& metrics) {
  const NoGrad no_grad;
  const auto [logits, labels] = answers(batch, 0);
  metrics.add(softmax_cross_entropy(logits, labels, 0.0f), labels);
  device_api::save_plans(device_);
  uploads_.front().used();
}

void Evaluator::add_averages(const EvaluationLoader& loader, std::span<const Batch* const> batches,
                             MetricsAccumulator& metrics) {
  const NoGrad no_grad;
  const int64_t views = loader.views();
  std::vector<Tensor> logits;  // queue all passes before waiting for the first
  for (size_t pass = 0; pass < batches.size(); ++pass) {
    logits.push_back(answers(*batches[pass], pass).logits);
    uploads_[pass].used();
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
    loader.protocol().average(
        std::span(gathered).subspan(static_cast<size_t>(s * views * classes), static_cast<size_t>(views * classes)),
        std::span(scores).subspan(static_cast<size_t>(s * classes), static_cast<size_t>(classes)));
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
  return {.logits = model_.forward(x, Mode::evaluate), .labels = on_device.labels};
}

InputFormat Evaluator::format_for(const Batch& batch) {
  InputFormat format = input_;
  format.height = batch.height;
  format.width = batch.width;
  const bool mean_image = input_.mean.shape().rank() == 3;
  if (mean_image && input_.mean.dim(0) != batch.height) {
    Tensor& scaled = mean_images_[batch.height];
    if (!scaled.defined()) {
      scaled = scaled_mean_image(input_.mean, batch.height);
    }
    format.mean = scaled;
  }
  return format;
}

}  // namespace residua
