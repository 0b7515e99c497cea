#include "core/ops/batch_norm_relu_max_pool.h"

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/kernels/batch_norm_relu_max_pool.h"
#include "core/kernels/run.h"
#include "core/ops/batch_norm_statistics.h"
#include "core/ops/pool_shape.h"

namespace residua {
namespace {

/// Saved for backward.
struct Saved {
  PoolShape shape;
  Tensor x, y, index, gamma, beta;
  NormStatistics statistics;
  int64_t group_images;
  Mode mode;
};

bool aligned(const Tensor& t) { return reinterpret_cast<uintptr_t>(t.data()) % kFusedPoolAlignment == 0; }

/// Whether the fused kernels take it.
bool fused(const Tensor& x, const PoolShape& s) {
  return s.window == kFusedPoolWindow && s.stride == kFusedPoolStride && s.channels % kFusedPoolChannels == 0 &&
         x.size() < kFusedPoolElements && aligned(x);
}

// The node's inputs, in order.
constexpr int kX = 0, kGamma = 1, kBeta = 2;

void backward_rule(const Saved& saved, const Tensor& given, Gradients& gradients) {
  const Tensor dy = aligned(given) ? given : given.clone();
  const Device device = dy.device();
  const DType dtype = saved.x.dtype();
  const uint8_t* index = saved.index.data<uint8_t>();
  const NormStatistics& s = saved.statistics;

  const NormSums sums(s, gradients, kGamma, kBeta);
  run(device, BatchNormReluMaxPoolBackwardReduce{.dtype = dtype,
                                                 .shape = saved.shape,
                                                 .group_images = saved.group_images,
                                                 .x = saved.x.data(),
                                                 .y = saved.y.data(),
                                                 .dy = dy.data(),
                                                 .index = index,
                                                 .gamma = saved.gamma.data<float>(),
                                                 .beta = saved.beta.data<float>(),
                                                 .mean = s.mean.data<float>(),
                                                 .rstd = s.rstd.data<float>(),
                                                 .sum_g = sums.g(),
                                                 .sum_g_xhat = sums.g_xhat()});
  sums.give_gradients();
  if (!gradients.wants(kX)) {
    return;
  }
  sums.add_up_ranks();
  // As in batch_norm.cpp: running statistics do not depend on x.
  const bool train = saved.mode == Mode::train;
  const Tensor none = train ? Tensor() : zeros({s.channels}, DType::f32, device);
  run(device, BatchNormReluMaxPoolBackwardApply{.dtype = dtype,
                                                .shape = saved.shape,
                                                .group_images = saved.group_images,
                                                .x = saved.x.data(),
                                                .dy = dy.data(),
                                                .index = index,
                                                .gamma = saved.gamma.data<float>(),
                                                .mean = s.mean.data<float>(),
                                                .rstd = s.rstd.data<float>(),
                                                .sum_g = train ? sums.g() : none.data<float>(),
                                                .sum_g_xhat = train ? sums.g_xhat() : none.data<float>(),
                                                .dx = gradients.output(kX).data()});
}

}  // namespace

Tensor batch_norm_relu_max_pool(const Tensor& x, const BatchNormTensors& p, PoolOptions options, Mode mode) {
  const ArgumentCheck check("batch_norm_relu_max_pool");
  const PoolShape shape = pool_shape(check, x, options);
  if (!fused(x, shape)) {
    return max_pool(batch_norm_relu(x, p, mode), options);
  }
  const NormStatistics statistics = norm_statistics(check, x, p, mode);
  const int64_t group_images = mode == Mode::train ? p.group_of(shape.batch) : shape.batch;
  const bool keep = grad_needed({x, p.gamma, p.beta});
  const Tensor y = empty(pooled_shape(shape), x.dtype(), x.device());
  const Tensor index = keep ? empty(pooled_shape(shape), DType::u8, x.device()) : Tensor();
  run(x.device(), BatchNormReluMaxPoolForward{.dtype = x.dtype(),
                                              .shape = shape,
                                              .group_images = group_images,
                                              .x = x.data(),
                                              .gamma = p.gamma.data<float>(),
                                              .beta = p.beta.data<float>(),
                                              .mean = statistics.mean.data<float>(),
                                              .rstd = statistics.rstd.data<float>(),
                                              .y = y.data(),
                                              .index = keep ? index.data<uint8_t>() : nullptr});
  trace(check.op(), {x, p.gamma, p.beta, p.running_mean, p.running_var}, y,
        {{"epsilon", p.epsilon}, {"window", options.window}, {"stride", options.stride}, {"padding", options.padding}});
  if (!keep) {
    return y;
  }
  return record(y, {x, p.gamma, p.beta}, check.op(),
                [saved = Saved{.shape = shape,
                               .x = x.detached(),
                               .y = y.detached(),
                               .index = index,
                               .gamma = p.gamma.detached(),
                               .beta = p.beta.detached(),
                               .statistics = statistics,
                               .group_images = group_images,
                               .mode = mode}](const Tensor& dy, Gradients& gradients) { backward_rule(saved, dy, gradients); });
}

}  // namespace residua
