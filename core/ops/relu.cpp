#include "core/ops/relu.h"

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/kernels/relu.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {

Tensor relu(const Tensor& x) {
  ArgumentCheck("relu").floating("x", x);
  const Tensor y = empty_like(x);
  run(x.device(), ReluForward{.dtype = x.dtype(), .size = x.size(), .x = x.data(), .y = y.data()});
  trace("relu", {x}, y);

  return record(y, {x}, "relu", [y = y.detached()](const Tensor& dy, Gradients& gradients) {
    const Tensor dx = gradients.output(0);
    run(y.device(), ReluBackward{.dtype = y.dtype(), .size = y.size(), .y = y.data(), .dy = dy.data(), .dx = dx.data()});
  });
}

}  // namespace residua
