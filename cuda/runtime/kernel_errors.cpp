#include "cuda/runtime/kernel_errors.h"

#include "core/base/error.h"

namespace residua::cuda {

void fail_launch_shape(int64_t blocks, int threads) {
  fail("cannot launch {} blocks of {} threads: wanted 1 to 2^31 - 1 blocks, and 32 to 1024 threads in whole warps", blocks,
       threads);
}

void fail_element_type(DType dtype) { fail("no kernel for element type {}, wanted f32, f16 or bf16", name(dtype)); }

}  // namespace residua::cuda
