#include "bench/kernels/cudnn.h"
#include "bench/kernels/kernel_case.h"
#include "core/kernels/add.h"
#include "core/kernels/cast.h"
#include "core/kernels/fill.h"
#include "core/kernels/relu.h"

namespace residua::bench {
namespace {

const std::vector<DType> k16Bit = {DType::f16, DType::bf16};

std::vector<KernelCase> cases(int64_t batch) {
  const Shape sizes{batch, 56, 56, 64};
  const int64_t size = sizes.size();
  const std::string shape = shape_name({batch, 56, 56, 64});
  return {
      {.kernel = "Add",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o,
                             Add{.dtype = o.dtype(), .size = size, .a = o.read(size), .b = o.read(size), .y = o.written(size)});
           },
       .cudnn = cudnn_add(sizes)},
      {.kernel = "ReluForward",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, ReluForward{.dtype = o.dtype(), .size = size, .x = o.read(size), .y = o.written(size)});
           },
       .cudnn = cudnn_relu(Pass::forward, sizes)},
      {.kernel = "ReluBackward",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(
                 o,
                 ReluBackward{.dtype = o.dtype(), .size = size, .y = o.read(size), .dy = o.read(size), .dx = o.written(size)});
           },
       .cudnn = cudnn_relu(Pass::backward, sizes)},
      {.kernel = "Fill",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, Fill{.dtype = o.dtype(), .size = size, .value = 1.0f, .x = o.written(size)});
           },
       .cudnn = cudnn_fill(sizes)},
      {.kernel = "Cast from f32",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, Cast{.x_dtype = DType::f32,
                                     .y_dtype = o.dtype(),
                                     .size = size,
                                     .x = o.read<float>(size, -1, 1),
                                     .y = o.written(size)});
           },
       .dtypes = k16Bit},
      {.kernel = "Cast to f32",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, Cast{.x_dtype = o.dtype(),
                                     .y_dtype = DType::f32,
                                     .size = size,
                                     .x = o.read(size),
                                     .y = o.written<float>(size)});
           },
       .dtypes = k16Bit},
  };
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
