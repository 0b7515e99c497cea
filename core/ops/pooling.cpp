#include "core/ops/pooling.h"

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/kernels/run.h"
#include "core/ops/pool_shape.h"

namespace residua {
Tensor max_pool(const Tensor& x, PoolOptions options) {
  const PoolShape shape = pool_shape(ArgumentCheck("max_pool"), x, options);
  const Tensor y = empty(pooled_shape(shape), x.dtype(), x.device());
  const Tensor index = grad_needed({x}) ? empty(pooled_shape(shape), DType::u8, x.device()) : Tensor();
  run(x.device(), MaxPoolForward{.dtype = x.dtype(),
                                 .shape = shape,
                                 .x = x.data(),
                                 .y = y.data(),
                                 .index = index.defined() ? index.data<uint8_t>() : nullptr});
  trace("max_pool", {x}, y, {{"window", options.window}, {"stride", options.stride}, {"padding", options.padding}});

  return record(y, {x}, "max_pool", [shape, index](const Tensor& dy, Gradients& gradients) {
    const Tensor dx = gradients.output(0);
    run(dy.device(),
        MaxPoolBackward{.dtype = dy.dtype(), .shape = shape, .dy = dy.data(), .index = index.data<uint8_t>(), .dx = dx.data()});
  });
}

Tensor average_pool(const Tensor& x, PoolOptions options) {
  const PoolShape shape = pool_shape(ArgumentCheck("average_pool"), x, options);
  const Tensor y = empty(pooled_shape(shape), x.dtype(), x.device());
  run(x.device(), AveragePoolForward{.dtype = x.dtype(), .shape = shape, .x = x.data(), .y = y.data()});
  trace("average_pool", {x}, y, {{"window", options.window}, {"stride", options.stride}, {"padding", options.padding}});

  return record(y, {x}, "average_pool", [shape](const Tensor& dy, Gradients& gradients) {
    const Tensor dx = gradients.output(0);
    run(dy.device(), AveragePoolBackward{.dtype = dy.dtype(), .shape = shape, .dy = dy.data(), .dx = dx.data()});
  });
}

Tensor global_average_pool(const Tensor& x) {
  const ArgumentCheck check("global_average_pool");
  check.floating("x", x);
  check.rank("x", x, 4);
  const int64_t batch = x.dim(0), area = x.dim(1) * x.dim(2), channels = x.dim(3);
  const Tensor y = empty({batch, channels}, x.dtype(), x.device());
  run(x.device(), GlobalAveragePoolForward{
                      .dtype = x.dtype(), .batch = batch, .area = area, .channels = channels, .x = x.data(), .y = y.data()});
  trace(check.op(), {x}, y);

  return record(y, {x}, "global_average_pool", [=](const Tensor& dy, Gradients& gradients) {
    const Tensor dx = gradients.output(0);
    run(dy.device(),
        GlobalAveragePoolBackward{
            .dtype = dy.dtype(), .batch = batch, .area = area, .channels = channels, .dy = dy.data(), .dx = dx.data()});
  });
}

}  // namespace residua
