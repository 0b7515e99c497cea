#include "core/kernels/matmul.h"

#include <map>
#include <tuple>

#include "core/cpu/onednn.h"
#include "core/kernels/cast.h"

namespace residua::cpu {
namespace {

using dnnl::memory;

struct Plan {
  dnnl::matmul primitive;
  memory::desc a, b, bias, c;
};

memory::desc matrix(DType dtype, int64_t rows, int64_t columns, Transpose transpose) {
  return {{rows, columns}, onednn_type(dtype), transpose == Transpose::no ? memory::dims{columns, 1} : memory::dims{1, rows}};
}

const Plan& find_plan(const Matmul& args) {
  using Key = std::tuple<int, DType, DType, int64_t, int64_t, int64_t, Transpose, Transpose, bool>;
  thread_local std::map<Key, Plan> plans;
  const bool biased = args.bias != nullptr;
  const Key key{omp_get_max_threads(), args.dtype,       args.c_dtype, args.m, args.n, args.k,
                args.transpose_a,      args.transpose_b, biased};
  if (const auto found = plans.find(key); found != plans.end()) {
    return found->second;
  }
  Plan plan{.primitive = {},
            .a = matrix(args.dtype, args.m, args.k, args.transpose_a),
            .b = matrix(args.dtype, args.k, args.n, args.transpose_b),
            .bias = {{1, args.n}, memory::data_type::f32, memory::format_tag::ab},
            .c = matrix(args.c_dtype, args.m, args.n, Transpose::no)};
#if DNNL_VERSION_MAJOR >= 3
  plan.primitive = dnnl::matmul(biased ? dnnl::matmul::primitive_desc(onednn_engine(), plan.a, plan.b, plan.bias, plan.c)
                                       : dnnl::matmul::primitive_desc(onednn_engine(), plan.a, plan.b, plan.c));
#else
  const dnnl::matmul::desc desc =
      biased ? dnnl::matmul::desc(plan.a, plan.b, plan.bias, plan.c) : dnnl::matmul::desc(plan.a, plan.b, plan.c);
  plan.primitive = dnnl::matmul(dnnl::matmul::primitive_desc(desc, onednn_engine()));
#endif
  return plans.emplace(key, plan).first->second;
}

}  // namespace

void run(const Matmul& args, Stream& stream) {
  if (args.m == 0 || args.n == 0) {
    return;
  }
  if (!onednn_native(args.dtype) || !onednn_native(args.c_dtype)) {
    const Workspace a(args.m * args.k * 4);
    const Workspace b(args.k * args.n * 4);
    const Workspace c(args.m * args.n * 4);
    run(Cast{.x_dtype = args.dtype, .y_dtype = DType::f32, .size = args.m * args.k, .x = args.a, .y = a.data()}, stream);
    run(Cast{.x_dtype = args.dtype, .y_dtype = DType::f32, .size = args.k * args.n, .x = args.b, .y = b.data()}, stream);
    Matmul f32 = args;
    f32.dtype = f32.c_dtype = DType::f32;
    f32.a = a.data();
    f32.b = b.data();
    f32.c = c.data();
    run(f32, stream);
    run(Cast{.x_dtype = DType::f32, .y_dtype = args.c_dtype, .size = args.m * args.n, .x = c.data(), .y = args.c}, stream);
    return;
  }
  try {
    const Plan& plan = find_plan(args);
    std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, onednn_memory(plan.a, args.a)},
                                                 {DNNL_ARG_WEIGHTS, onednn_memory(plan.b, args.b)},
                                                 {DNNL_ARG_DST, onednn_memory(plan.c, args.c)}};
    if (args.bias != nullptr) {
      arguments.emplace(DNNL_ARG_BIAS, onednn_memory(plan.bias, args.bias));
    }
    plan.primitive.execute(onednn_stream(), arguments);
  } catch (const dnnl::error& error) {
    check_memory(error);
    fail("oneDNN failed in a {} matmul of [{}, {}] x [{}, {}]: {}", name(args.dtype), args.m, args.k, args.k, args.n,
         error.what());
  }
}

}  // namespace residua::cpu
