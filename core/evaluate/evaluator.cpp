#include "core/evaluate/evaluator.h"

#include <utility>

#include "core/autograd/no_grad.h"
#include "core/base/error.h"

namespace residua {

Evaluator::Evaluator(Module& model, InputFormat input, Device device)
    : model_(model), input_(std::move(input)), device_(device), upload_(device) {}

std::optional<Metrics> Evaluator::evaluate(Loader& loader, const std::function<bool()>& stop) {
  if (loader.options().bad_images != BadImages::leave_out || loader.options().drop_last || loader.views_per_sample() != 1) {
    fail_usage(
        "evaluation: the loader replaces bad images, drops the last batch or makes several views of a sample; wanted one row "
        "for "
        "each image");
  }
  MetricsAccumulator sum(device_);
  loader.start(0);
  while (const Batch* batch = loader.next()) {
    if (stop()) {
      return {};
    }
    add(*batch, sum);
  }
  const Metrics metrics = sum.read();
  if (metrics.images == 0) {
    fail("none of the {} validation images could be read:\n{}", loader.source().size(), loader.errors().summary());
  }
  return metrics;
}

Metrics Evaluator::evaluate(Loader& loader) {
  return *evaluate(loader, [] { return false; });
}

void Evaluator::add(const Batch& batch, MetricsAccumulator& metrics) {
  const NoGrad no_grad;
  const Batch& on_device = upload_.upload(batch);
  InputFormat format = input_;
  format.height = batch.height;
  format.width = batch.width;
  const Tensor x = prepare_input(on_device.images, on_device.views, format);
  metrics.add(softmax_cross_entropy(model_.forward(x, Mode::evaluate), on_device.labels, 0.0f), on_device.labels);
  device_api::save_plans(device_);
  upload_.used();
}

}  // namespace residua
