#include "core/ops/batch_norm_relu_conv2d.h"

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/run.h"
#include "core/ops/batch_norm_statistics.h"
#include "core/ops/convolution_shape.h"

namespace residua {
namespace {

/// Saved for backward.
struct Saved {
  ConvolutionShape shape;
  Tensor x, w, gamma, beta;
  NormStatistics statistics;
  Tensor activated, mask;  // undefined if the convolution applies the activation inside
  Mode mode;
};

// The node's inputs, in order.
constexpr int kX = 0, kGamma = 1, kBeta = 2, kWeight = 3;

InputActivation activation_of(const Tensor& gamma, const Tensor& beta, const NormStatistics& s) {
  return {.gamma = gamma.data<float>(), .beta = beta.data<float>(), .mean = s.mean.data<float>(), .rstd = s.rstd.data<float>()};
}

bool is_inside(ActivationPlace place, const Tensor& x, const ConvolutionShape& shape, Mode mode) {
  bool inside = place == ActivationPlace::inside;
  if (place == ActivationPlace::fastest && mode == Mode::train) {
    run(x.device(), ActivationPlacement{.dtype = x.dtype(), .shape = shape, .inside = &inside});
  }
  return inside;
}

void backward_rule(const Saved& saved, const Tensor& dy, Gradients& gradients) {
  const auto& [shape, x, w, gamma, beta, s, activated, mask, mode] = saved;
  const Device device = x.device();
  const bool inside = !activated.defined();
  if (gradients.wants(kWeight)) {
    const Tensor dw = gradients.output_as_stored(kWeight);
    run(device, ConvolutionBackwardWeights{.dtype = x.dtype(),
                                           .dw_dtype = dw.dtype(),
                                           .shape = shape,
                                           .x = inside ? x.data() : activated.data(),
                                           .dy = dy.data(),
                                           .dw = dw.data(),
                                           .activation = inside ? activation_of(gamma, beta, s) : kNoInputActivation});
  }
  if (!gradients.wants(kX) && !gradients.wants(kGamma) && !gradients.wants(kBeta)) {
    return;
  }
  const Tensor g = empty_like(x);
  const NormSums sums(s, gradients, kGamma, kBeta);
  const uint8_t* bits = inside ? nullptr : mask.data<uint8_t>();
  run(device, ConvolutionBackwardData{.dtype = x.dtype(),
                                      .shape = shape,
                                      .dy = dy.data(),
                                      .w = w.data(),
                                      .dx = g.data(),
                                      .sums = {.x = x.data(),
                                               .mask = bits,
                                               .gamma = gamma.data<float>(),
                                               .beta = beta.data<float>(),
                                               .mean = s.mean.data<float>(),
                                               .rstd = s.rstd.data<float>(),
                                               .sum_g = sums.g(),
                                               .sum_g_xhat = sums.g_xhat()}});
  sums.give_gradients();
  if (!gradients.wants(kX)) {
    return;
  }
  sums.add_up_ranks();
  // As in batch_norm.cpp: running statistics do not depend on x.
  const bool train = mode == Mode::train;
  const Tensor none = train ? Tensor() : zeros({s.channels}, DType::f32, device);
  run(device, BatchNormBackwardApply{.dtype = x.dtype(),
                                     .rows = s.rows,
                                     .group_rows = s.rows,
                                     .channels = s.channels,
                                     .x = x.data(),
                                     .dy = g.data(),
                                     .mask = bits,
                                     .gamma = gamma.data<float>(),
                                     .mean = s.mean.data<float>(),
                                     .rstd = s.rstd.data<float>(),
                                     .sum_g = train ? sums.g() : none.data<float>(),
                                     .sum_g_xhat = train ? sums.g_xhat() : none.data<float>(),
                                     .dx = g.data()});
  gradients.give(kX, g);
}

}  // namespace

Tensor batch_norm_relu_conv2d(const Tensor& x, const BatchNormTensors& p, const Tensor& w, Conv2dOptions options, Mode mode,
                              const BatchNormTensors* next, ActivationPlace place) {
  const ArgumentCheck check("batch_norm_relu_conv2d");
  const ConvolutionShape shape = convolution_shape(check, x, w, options);
  if (mode == Mode::train && p.group_of(shape.batch) < shape.batch) {
    return conv2d(batch_norm_relu(x, p, mode), w, options, next);
  }
  const NormStatistics input = norm_statistics(check, x, p, mode);
  const Device device = x.device();
  const OutputStatistics statistics = next != nullptr ? output_statistics(check, shape, device, *next) : kNoOutputStatistics;

  const bool keep = grad_needed({x, p.gamma, p.beta, w});
  InputActivation activation = activation_of(p.gamma, p.beta, input);
  Tensor activated;
  Tensor mask;
  if (!is_inside(place, x, shape, mode)) {
    activated = empty_like(x);
    mask = keep ? empty({(x.size() + 7) / 8}, DType::u8, device) : Tensor();
    run(device, BatchNormApply{.dtype = x.dtype(),
                               .rows = input.rows,
                               .group_rows = input.rows,
                               .channels = input.channels,
                               .x = x.data(),
                               .residual = nullptr,
                               .gamma = activation.gamma,
                               .beta = activation.beta,
                               .mean = activation.mean,
                               .rstd = activation.rstd,
                               .activation = Activation::relu,
                               .y = activated.data(),
                               .mask = keep ? mask.data<uint8_t>() : nullptr});
    activation = kNoInputActivation;
  }
  const Tensor y = empty(convolved_shape(shape), x.dtype(), device);
  run(device, ConvolutionForward{.dtype = x.dtype(),
                                 .shape = shape,
                                 .x = activated.defined() ? activated.data() : x.data(),
                                 .w = w.data(),
                                 .y = y.data(),
                                 .activation = activation,
                                 .statistics = statistics});
  trace(check.op(), {x, p.gamma, p.beta, p.running_mean, p.running_var, w}, y,
        {{"epsilon", p.epsilon}, {"stride", options.stride}, {"padding", options.padding}});
  if (!keep) {
    return y;
  }
  return record(y, {x, p.gamma, p.beta, w}, check.op(),
                [saved = Saved{.shape = shape,
                               .x = x.detached(),
                               .w = w.detached(),
                               .gamma = p.gamma.detached(),
                               .beta = p.beta.detached(),
                               .statistics = input,
                               .activated = activated,
                               .mask = mask,
                               .mode = mode}](const Tensor& dy, Gradients& gradients) { backward_rule(saved, dy, gradients); });
}

}  // namespace residua
