#include "core/train/train_step.h"

#include <utility>

#include "core/autograd/tape.h"

namespace residua {

TrainStep::TrainStep(Module& model, ParameterStore& store, Sgd& sgd, InputFormat input, float label_smoothing)
    : model_(model), store_(store), sgd_(sgd), input_(std::move(input)), label_smoothing_(label_smoothing) {}

SoftmaxCrossEntropy TrainStep::forward(const Batch& batch, Mode mode) {
  InputFormat format = input_;
  format.height = batch.height;
  format.width = batch.width;
  const Device device = store_.options().device;
  const auto on_device = [device](const Tensor& t) { return t.device() == device ? t : t.to(device); };
  const Tensor x =
      prepare_input(on_device(batch.images), on_device(batch.top), on_device(batch.left), on_device(batch.flip), format);
  return softmax_cross_entropy(model_.forward(x, mode), on_device(batch.labels), mode == Mode::train ? label_smoothing_ : 0.0f);
}

SoftmaxCrossEntropy TrainStep::train(const Batch& batch) {
  const bool scaled = store_.options().compute == DType::f16;
  const SoftmaxCrossEntropy result = forward(batch, Mode::train);
  if (!scaled) {
    backward(result.loss);
    sgd_.step();
    return result;
  }
  sgd_.set_loss_scale(loss_scaler_.scale());
  backward(result.loss, loss_scaler_.scale());
  sgd_.step(Sgd::Overflow::skip);
  const bool skipped = sgd_.skipped();
  skipped_steps_ += skipped ? 1 : 0;
  loss_scaler_.update(skipped);
  return result;
}

SoftmaxCrossEntropy TrainStep::evaluate(const Batch& batch) {
  const NoGrad no_grad;
  return forward(batch, Mode::evaluate);
}

}  // namespace residua
