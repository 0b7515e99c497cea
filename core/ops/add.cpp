#include "core/ops/add.h"

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/kernels/add.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {

Tensor add(const Tensor& a, const Tensor& b) {
  const ArgumentCheck check("add");
  check.floating("a", a);
  check.exactly("b", b, a.shape(), a.dtype(), a.device());
  const Tensor y = empty_like(a);
  run(a.device(), Add{.dtype = a.dtype(), .size = a.size(), .a = a.data(), .b = b.data(), .y = y.data()});
  trace("add", {a, b}, y);

  return record(y, {a, b}, "add", [](const Tensor& dy, Gradients& gradients) {
    for (const int i : {0, 1}) {
      if (gradients.wants(i)) {
        gradients.give(i, dy);
      }
    }
  });
}

}  // namespace residua
