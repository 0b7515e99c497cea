#include "core/ops/linear.h"

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/kernels/column_sum.h"
#include "core/kernels/matmul.h"
#include "core/kernels/run.h"
#include "core/ops/cast.h"
#include "core/ops/check.h"

namespace residua {

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, DType y_dtype) {
  const ArgumentCheck check("linear");
  check.floating("x", x);
  check.rank("x", x, 2);
  check.floating("w", w);
  check.rank("w", w, 2);
  const int64_t n = x.dim(0), k = x.dim(1), m = w.dim(0);
  check.exactly("w", w, {m, k}, x.dtype(), x.device());
  if (bias.defined()) {
    check.exactly("bias", bias, {m}, DType::f32, x.device());
  }
  if (!is_floating(y_dtype)) {
    fail("linear: y_dtype is {}, wanted f32, f16 or bf16", name(y_dtype));
  }

  const Tensor y = empty({n, m}, y_dtype, x.device());
  run(x.device(), Matmul{.dtype = x.dtype(),
                         .c_dtype = y_dtype,
                         .m = n,
                         .n = m,
                         .k = k,
                         .transpose_a = Transpose::no,
                         .transpose_b = Transpose::yes,
                         .a = x.data(),
                         .b = w.data(),
                         .bias = bias.defined() ? bias.data<float>() : nullptr,
                         .c = y.data()});
  trace(check.op(), {x, w, bias}, y);

  std::vector<Tensor> inputs{x, w};
  if (bias.defined()) {
    inputs.push_back(bias);
  }
  return record(
      y, std::move(inputs), "linear",
      [x = x.detached(), w = w.detached(), has_bias = bias.defined(), n, m, k](const Tensor& dy, Gradients& gradients) {
        const Device device = x.device();
        if (has_bias && gradients.wants(2)) {
          run(device,
              ColumnSum{.dtype = dy.dtype(), .rows = n, .columns = m, .x = dy.data(), .y = gradients.output(2).data<float>()});
        }
        const Tensor dy_cast = cast(dy, x.dtype());
        if (gradients.wants(1)) {
          const Tensor dw = gradients.output_as_stored(1);
          run(device, Matmul{.dtype = x.dtype(),
                             .c_dtype = dw.dtype(),
                             .m = m,
                             .n = k,
                             .k = n,
                             .transpose_a = Transpose::yes,
                             .transpose_b = Transpose::no,
                             .a = dy_cast.data(),
                             .b = x.data(),
                             .bias = nullptr,
                             .c = dw.data()});
        }
        if (gradients.wants(0)) {
          const Tensor dx = gradients.output(0);
          run(device, Matmul{.dtype = x.dtype(),
                             .c_dtype = dx.dtype(),
                             .m = n,
                             .n = k,
                             .k = m,
                             .transpose_a = Transpose::no,
                             .transpose_b = Transpose::no,
                             .a = dy_cast.data(),
                             .b = w.data(),
                             .bias = nullptr,
                             .c = dx.data()});
        }
      });
}

}  // namespace residua
