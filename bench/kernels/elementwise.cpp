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
             return sequence(o, Add{o.dtype(), size, o.read(size), o.read(size), o.written(size)});
           },
       .cudnn = cudnn_add(sizes)},
      {.kernel = "ReluForward",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, ReluForward{o.dtype(), size, o.read(size), o.written(size)});
           },
       .cudnn = cudnn_relu(Pass::forward, sizes)},
      {.kernel = "ReluBackward",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, ReluBackward{o.dtype(), size, o.read(size), o.read(size), o.written(size)});
           },
       .cudnn = cudnn_relu(Pass::backward, sizes)},
      {.kernel = "Fill",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, Fill{o.dtype(), size, 1.0f, o.written(size)});
           },
       .cudnn = cudnn_fill(sizes)},
      {.kernel = "Cast from f32",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, Cast{DType::f32, o.dtype(), size, o.read<float>(size, -1, 1), o.written(size)});
           },
       .dtypes = k16Bit},
      {.kernel = "Cast to f32",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, Cast{o.dtype(), DType::f32, size, o.read(size), o.written<float>(size)});
           },
       .dtypes = k16Bit},
  };
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
