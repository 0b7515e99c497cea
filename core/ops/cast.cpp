#include "core/ops/cast.h"

#include "core/autograd/tape.h"
#include "core/kernels/cast.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {

Tensor cast(const Tensor& x, DType dtype) {
  ArgumentCheck("cast").floating("x", x);
  if (!is_floating(dtype)) {
    fail("cast: the target type is {}, wanted f32, f16 or bf16", name(dtype));
  }
  if (x.dtype() == dtype) {
    return x;
  }
  const Tensor y = empty(x.shape(), dtype, x.device());
  run(x.device(), Cast{.x_dtype = x.dtype(), .y_dtype = dtype, .size = x.size(), .x = x.data(), .y = y.data()});

  return record(y, {x}, "cast", [](const Tensor& dy, Gradients& gradients) {
    const Tensor dx = gradients.output(0);
    run(dy.device(), Cast{.x_dtype = dy.dtype(), .y_dtype = dx.dtype(), .size = dy.size(), .x = dy.data(), .y = dx.data()});
  });
}

}  // namespace residua
