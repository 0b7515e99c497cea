#include "core/ops/batch_norm.h"

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/run.h"
#include "core/ops/batch_norm_statistics.h"

namespace residua {
namespace {

/// Saved for backward.
struct Saved {
  Tensor x, mask, gamma;
  NormStatistics statistics;
  Mode mode;
};

// The node's inputs, in order.
constexpr int kX = 0, kGamma = 1, kBeta = 2, kResidual = 3;

/// Memory for the mask. Each group's bits start at a whole byte.
int64_t mask_bytes(const NormStatistics& s) { return s.groups() * ((s.group_rows * s.channels + 7) / 8); }

/// Memory for the ReLU's gradient. It is stored only if it is also the residual's gradient or a sum of two; otherwise
/// undefined.
Tensor relu_gradient(const Saved& saved, bool has_residual, const Tensor& more, Gradients& gradients) {
  if (has_residual && gradients.wants(kResidual)) {
    return gradients.output(kResidual);
  }
  return more.defined() ? empty_like(saved.x) : Tensor();
}

void backward_rule(const Saved& saved, bool has_residual, const Tensor& dy, const Tensor& more, Gradients& gradients) {
  const Device device = dy.device();
  const DType dtype = saved.x.dtype();
  const uint8_t* mask = saved.mask.defined() ? saved.mask.data<uint8_t>() : nullptr;
  const Tensor g = relu_gradient(saved, has_residual, more, gradients);
  const NormStatistics& s = saved.statistics;

  const NormSums sums(s, gradients, kGamma, kBeta);
  run(device, BatchNormBackwardReduce{.dtype = dtype,
                                      .rows = s.rows,
                                      .group_rows = s.group_rows,
                                      .channels = s.channels,
                                      .x = saved.x.data(),
                                      .dy = dy.data(),
                                      .more = more.defined() ? more.data() : nullptr,
                                      .mask = mask,
                                      .mean = s.mean.data<float>(),
                                      .rstd = s.rstd.data<float>(),
                                      .sum_g = sums.g(),
                                      .sum_g_xhat = sums.g_xhat(),
                                      .g = g.defined() ? g.data() : nullptr});
  sums.give_gradients();
  if (!gradients.wants(kX)) {
    return;
  }
  sums.add_up_ranks();
  // Running statistics do not depend on x, so the sums drop out: dx = gamma * rstd * g.
  const bool train = saved.mode == Mode::train;
  const Tensor none = train ? Tensor() : zeros({s.channels}, DType::f32, device);
  const Tensor dx = gradients.output(kX);
  run(device, BatchNormBackwardApply{.dtype = dtype,
                                     .rows = s.rows,
                                     .group_rows = s.group_rows,
                                     .channels = s.channels,
                                     .x = saved.x.data(),
                                     .dy = g.defined() ? g.data() : dy.data(),
                                     .mask = g.defined() ? nullptr : mask,
                                     .gamma = saved.gamma.data<float>(),
                                     .mean = s.mean.data<float>(),
                                     .rstd = s.rstd.data<float>(),
                                     .sum_g = train ? sums.g() : none.data<float>(),
                                     .sum_g_xhat = train ? sums.g_xhat() : none.data<float>(),
                                     .dx = dx.data()});
}

Tensor forward(const char* op, const Tensor& x, const Tensor& residual, const BatchNormTensors& p, Activation activation,
               Mode mode) {
  const ArgumentCheck check(op);
  if (residual.defined()) {
    check.floating("x", x);
    check.exactly("residual", residual, x.shape(), x.dtype(), x.device());
  }
  const NormStatistics statistics = norm_statistics(check, x, p, mode);
  const Device device = x.device();

  const bool keep = grad_needed({x, p.gamma, p.beta, residual});
  const bool masked = keep && activation == Activation::relu;
  const Tensor mask = masked ? empty({mask_bytes(statistics)}, DType::u8, device) : Tensor();
  const Tensor y = empty_like(x);
  run(device, BatchNormApply{.dtype = x.dtype(),
                             .rows = statistics.rows,
                             .group_rows = statistics.group_rows,
                             .channels = statistics.channels,
                             .x = x.data(),
                             .residual = residual.defined() ? residual.data() : nullptr,
                             .gamma = p.gamma.data<float>(),
                             .beta = p.beta.data<float>(),
                             .mean = statistics.mean.data<float>(),
                             .rstd = statistics.rstd.data<float>(),
                             .activation = activation,
                             .y = y.data(),
                             .mask = masked ? mask.data<uint8_t>() : nullptr});
  trace(op, {x, p.gamma, p.beta, p.running_mean, p.running_var, residual}, y, {{"epsilon", p.epsilon}});
  if (!keep) {
    return y;
  }
  std::vector<Tensor> inputs{x, p.gamma, p.beta};
  if (residual.defined()) {
    inputs.push_back(residual);
  }
  return record(
      y, std::move(inputs), op,
      [saved = Saved{.x = x.detached(), .mask = mask, .gamma = p.gamma.detached(), .statistics = statistics, .mode = mode},
       has_residual = residual.defined()](const Tensor& dy, const Tensor& more, Gradients& gradients) {
        backward_rule(saved, has_residual, dy, more, gradients);
      });
}

}  // namespace

Tensor batch_norm(const Tensor& x, const BatchNormTensors& p, Mode mode) {
  return forward("batch_norm", x, {}, p, Activation::none, mode);
}

Tensor batch_norm_relu(const Tensor& x, const BatchNormTensors& p, Mode mode) {
  return forward("batch_norm_relu", x, {}, p, Activation::relu, mode);
}

Tensor batch_norm_add_relu(const Tensor& x, const Tensor& residual, const BatchNormTensors& p, Mode mode) {
  ArgumentCheck("batch_norm_add_relu").floating("residual", residual);
  return forward("batch_norm_add_relu", x, residual, p, Activation::relu, mode);
}

}  // namespace residua
