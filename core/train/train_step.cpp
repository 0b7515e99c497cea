#include "core/train/train_step.h"

#include <utility>

#include "core/autograd/tape.h"
#include "core/base/error.h"
#include "core/device/profile.h"

namespace residua {
namespace {

/// Steps of a shape to run before capture: the first chooses convolution plans, the second runs with a warm memory pool.
constexpr int64_t kStepsBeforeCapture = 2;

}  // namespace

TrainStep::TrainStep(Module& model, ParameterStore& store, GradScaler& scaler, Sgd& sgd, TrainStepOptions options)
    : model_(model),
      store_(store),
      scaler_(scaler),
      sgd_(sgd),
      options_(std::move(options)),
      device_(store.options().device),
      metrics_(device_),
      train_upload_(device_) {}

void TrainStep::run_step(const Batch& batch) {
  InputFormat format = options_.input;
  format.height = batch.height;
  format.width = batch.width;
  const Tensor x = prepare_input(batch.images, batch.views, format);
  const SoftmaxCrossEntropy result =
      softmax_cross_entropy(model_.forward(x, Mode::train), batch.labels, options_.label_smoothing);
  backward(result.loss, scaler_.loss_scale());
  scaler_.check_gradients(store_);
  sgd_.step();
  store_.commit_statistics(options_.statistics_momentum, scaler_.state());
  scaler_.finish_step();
  metrics_.add(result, batch.labels, scaler_.state());
}

StepState TrainStep::state() {
  const StepState state = scaler_.read();
  store_.count_batches(state);
  return state;
}

void TrainStep::train(const Batch& batch) {
  const Batch& input = train_upload_.upload(batch);
  if (train_upload_.uploads() <= kStepsBeforeCapture) {
    graphs_ = {};
  }
  const bool captured = options_.capture == Capture::on && device_api::can_capture(device_) && profile::active() == nullptr &&
                        train_upload_.uploads() > kStepsBeforeCapture;
  if (captured) {
    auto& graph = graphs_[static_cast<size_t>(train_upload_.slot())];
    if (graph == nullptr) {
      try {
        graph = std::make_unique<device_api::Graph>(device_, [&] { run_step(input); });
      } catch (const DeviceFault&) {
        throw;
      } catch (const Error& error) {
        fail("{}; this happened while capturing the step as a graph: --cuda-graph off avoids that", error.what());
      }
    }
    graph->launch();
  } else {
    run_step(input);
    device_api::save_plans(device_);
  }
  train_upload_.used();
}

}  // namespace residua
