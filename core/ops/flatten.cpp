#include "core/ops/flatten.h"

#include "core/autograd/tape.h"
#include "core/ops/check.h"

namespace residua {

Tensor flatten(const Tensor& x) {
  ArgumentCheck("flatten").floating("x", x);
  if (x.shape().rank() < 1) {
    fail("flatten: x is {}, wanted at least 1 dimension", describe(x));
  }
  const Shape shape = x.shape();
  return record(x.viewed({x.dim(0), x.size() / x.dim(0)}), {x}, "flatten",
                [shape](const Tensor& dy, Gradients& gradients) { gradients.give(0, dy.viewed(shape)); });
}

}  // namespace residua
