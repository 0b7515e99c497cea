#include "core/train/train_step.h"

#include <utility>

#include "core/autograd/tape.h"
#include "core/kernels/profile.h"
#include "core/tensor/error.h"

namespace residua {
namespace {

/// Steps of a shape that run before it is captured: the first chooses convolution plans, the second finds the pool warm.
constexpr int64_t kStepsBeforeCapture = 2;

}  // namespace

TrainStep::TrainStep(Module& model, ParameterStore& store, Sgd& sgd, TrainStepOptions options)
    : model_(model),
      sgd_(sgd),
      options_(std::move(options)),
      device_(store.options().device),
      metrics_(device_),
      train_upload_(device_),
      evaluate_upload_(device_) {}

SoftmaxCrossEntropy TrainStep::forward(const Batch& batch, Mode mode) {
  InputFormat format = options_.input;
  format.height = batch.height;
  format.width = batch.width;
  const Tensor x = prepare_input(batch.images, batch.top, batch.left, batch.flip, batch.colour_shift, format);
  return softmax_cross_entropy(model_.forward(x, mode), batch.labels, mode == Mode::train ? options_.label_smoothing : 0.0f);
}

void TrainStep::run_step(const Batch& batch) {
  const SoftmaxCrossEntropy result = forward(batch, Mode::train);
  backward(result.loss, sgd_.loss_scale());
  sgd_.step();
  metrics_.add(result, batch.labels, sgd_.device_state());
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
        fail("{}; while a step was captured as a graph, which --cuda-graph off does without", error.what());
      }
    }
    graph->launch();
  } else {
    run_step(input);
    device_api::save_plans(device_);
  }
  train_upload_.used();
}

void TrainStep::evaluate(const Batch& batch, MetricsSum& metrics) {
  const NoGrad no_grad;
  const Batch& input = evaluate_upload_.upload(batch);
  metrics.add(forward(input, Mode::evaluate), input.labels);
  device_api::save_plans(device_);
  evaluate_upload_.used();
}

}  // namespace residua
