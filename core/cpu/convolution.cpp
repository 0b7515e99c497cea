// Convolution on the CPU, with oneDNN or this folder's kernels. Activations are NHWC, except for oneDNN's own Winograd. Each
// call packs the weights into the layout that the primitive wants: once per step and pass, less than 1 % of its time. On a
// processor that multiplies f32 faster than bf16, bf16 is computed in f32, and the reorders of the tensors convert it. A type
// that oneDNN has no instructions for is converted to f32 copies first.
#include "core/kernels/convolution.h"

#include <array>
#include <cstdlib>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "core/base/isa.h"
#include "core/cpu/direct_convolution.h"
#include "core/cpu/onednn.h"
#include "core/cpu/winograd.h"
#include "core/kernels/cast.h"
#include "core/kernels/composed_convolution.h"

namespace residua::cpu {
namespace {

using dnnl::memory;

enum class Pass { forward, backward_data, backward_weights };

/// A primitive and the layouts that it wants. If x or y is not NHWC there, the tensor is reordered on the way in or out.
struct Plan {
  dnnl::primitive primitive;
  memory::desc x, y, w, scratchpad;
};

struct Layouts {
  memory::desc x, y, w, w_forward;
};

/// Makes the plan of one pass. oneDNN 2 needs an operation descriptor first, oneDNN 3 does not.
template <class Describe>
Plan describe_plan(const Describe& desc, const memory::desc& x, const memory::desc& y, const memory::desc& w) {
  return {.primitive = dnnl::primitive(desc), .x = x, .y = y, .w = w, .scratchpad = desc.scratchpad_desc()};
}

Plan make_plan(Pass pass, dnnl::algorithm algorithm, const Layouts& l, const ConvolutionShape& s) {
  const memory::dims strides = {s.stride, s.stride};
  const memory::dims padding = {s.padding, s.padding};
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::engine& engine = onednn_engine();
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::convolution_forward::primitive_desc forward(engine, dnnl::prop_kind::forward_training, algorithm, l.x,
                                                          l.w_forward, l.y, strides, padding, padding, attributes);
#else
  const dnnl::convolution_forward::primitive_desc forward(
      {dnnl::prop_kind::forward_training, algorithm, l.x, l.w_forward, l.y, strides, padding, padding}, attributes, engine);
#endif
  if (pass == Pass::forward) {
    return describe_plan(forward, forward.src_desc(), forward.dst_desc(), forward.weights_desc());
  }
  if (pass == Pass::backward_data) {
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::convolution_backward_data::primitive_desc backward(engine, algorithm, l.x, l.w, l.y, strides, padding, padding,
                                                                   forward, attributes);
#else
    const dnnl::convolution_backward_data::primitive_desc backward({algorithm, l.x, l.w, l.y, strides, padding, padding},
                                                                   attributes, engine, forward);
#endif
    return describe_plan(backward, backward.diff_src_desc(), backward.diff_dst_desc(), backward.weights_desc());
  }
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::convolution_backward_weights::primitive_desc backward(engine, algorithm, l.x, l.w, l.y, strides, padding, padding,
                                                                    forward, attributes);
#else
  const dnnl::convolution_backward_weights::primitive_desc backward({algorithm, l.x, l.w, l.y, strides, padding, padding},
                                                                    attributes, engine, forward);
#endif
  return describe_plan(backward, backward.src_desc(), backward.diff_dst_desc(), backward.diff_weights_desc());
}

memory::dims x_dims(const ConvolutionShape& s) { return {s.batch, s.in_channels, s.in_height, s.in_width}; }
memory::dims y_dims(const ConvolutionShape& s) { return {s.batch, s.out_channels, s.out_height(), s.out_width()}; }
memory::dims w_dims(const ConvolutionShape& s) { return {s.out_channels, s.in_channels, s.kernel_height, s.kernel_width}; }

memory::desc plain(const memory::dims& dims, DType dtype) { return {dims, onednn_type(dtype), memory::format_tag::nhwc}; }
memory::desc free_layout(const memory::dims& dims, DType dtype) { return {dims, onednn_type(dtype), memory::format_tag::any}; }

/// Winograd rounds differently from a plain sum. The environment variable RESIDUA_WINOGRAD=off disables it, at the cost of
/// speed.
bool winograd_allowed() {
  static const bool allowed = [] {
    const char* text = std::getenv("RESIDUA_WINOGRAD");
    const std::string_view value = text == nullptr ? "on" : text;
    if (value != "on" && value != "off") {
      fail_usage("RESIDUA_WINOGRAD is '{}', wanted on or off", value);
    }
    return value == "on";
  }();
  return allowed;
}

/// oneDNN 2 has Winograd's algorithm only for blocked activations; from 32 channels on it is worth the reorders.
bool onednn_winograd_pays(DType dtype, const ConvolutionShape& s) {
  return dtype == DType::f32 && s.kernel_height == 3 && s.kernel_width == 3 && s.stride == 1 && s.padding == 1 &&
         s.in_channels >= 32 && s.out_channels >= 32 && s.in_channels % 16 == 0 && s.out_channels % 16 == 0 &&
         winograd_allowed();
}

/// From about this many tiles on, Winograd's algorithm saves more time than transforming the weights takes.
constexpr int64_t kFewestTiles = 32;

/// Whose kernel computes a pass.
enum class Kernel { onednn, winograd, direct };

/// With AVX2, where oneDNN has plain sums alone, and slow ones if the stride is 2, this folder's kernels are faster from the
/// sizes below on.
Kernel choose_kernel(Pass pass, const ConvolutionShape& s) {
  if (isa() != Isa::avx2) {
    return Kernel::onednn;
  }
  const bool of_weights = pass == Pass::backward_weights;
  const int64_t taps = s.kernel_height * s.kernel_width, pixels = s.batch * s.out_height() * s.out_width();
  const bool fills_registers = s.out_channels % 16 == 0 && (of_weights || s.in_channels % 16 == 0);
  if (s.kernel_height == 3 && s.kernel_width == 3 && s.stride == 1 && s.padding == 1 && s.in_channels % 16 == 0 &&
      s.out_channels % 16 == 0) {
    const int64_t tiles = s.batch * ((s.in_height + 3) / 4) * ((s.in_width + 3) / 4);
    return tiles >= kFewestTiles && winograd_allowed() ? Kernel::winograd : Kernel::onednn;
  }
  const bool pays = s.stride > 1 && taps > 1 && taps * s.in_channels >= (of_weights ? 128 : 576) && pixels >= 64;
  return fills_registers && pays ? Kernel::direct : Kernel::onednn;
}

Plan make_plan(Pass pass, DType dtype, DType w_dtype, const ConvolutionShape& s) {
  const memory::desc w = free_layout(w_dims(s), w_dtype);
  const memory::desc w_forward = free_layout(w_dims(s), dtype);
  if (onednn_winograd_pays(dtype, s)) {
    try {
      return make_plan(pass, dnnl::algorithm::convolution_winograd,
                       {free_layout(x_dims(s), dtype), free_layout(y_dims(s), dtype), w, w_forward}, s);
    } catch (const dnnl::error& error) {
      check_memory(error);
      // This oneDNN version or this processor has no Winograd kernel.
    }
  }
  return make_plan(pass, dnnl::algorithm::convolution_direct, {plain(x_dims(s), dtype), plain(y_dims(s), dtype), w, w_forward},
                   s);
}

/// The type in which products of `dtype` are computed.
DType computed_in(DType dtype) { return dtype == DType::bf16 && !bf16_multiplies_faster() ? DType::f32 : dtype; }

const Plan& find_plan(Pass pass, DType dtype, DType w_dtype, const ConvolutionShape& s) {
  // oneDNN divides the work among the threads that there are when the plan is made.
  using Key = std::tuple<int, Pass, DType, DType, std::array<int64_t, 9>>;
  thread_local std::map<Key, Plan> plans;
  const Key key{
      omp_get_max_threads(),
      pass,
      dtype,
      w_dtype,
      {s.batch, s.in_height, s.in_width, s.in_channels, s.out_channels, s.kernel_height, s.kernel_width, s.stride, s.padding}};
  const auto found = plans.find(key);
  if (found != plans.end()) {
    return found->second;
  }
  try {
    return plans.emplace(key, make_plan(pass, dtype, w_dtype, s)).first->second;
  } catch (const dnnl::error& error) {
    check_memory(error);
    fail("oneDNN has no {} convolution for [{}, {}, {}, {}] with {} filters of {}x{}, stride {}, padding {}: {}", name(dtype),
         s.batch, s.in_height, s.in_width, s.in_channels, s.out_channels, s.kernel_height, s.kernel_width, s.stride, s.padding,
         error.what());
  }
}

memory::desc plain_weights(const ConvolutionShape& s, DType dtype) {
  return {w_dims(s), onednn_type(dtype), memory::format_tag::ohwi};
}

int64_t x_size(const ConvolutionShape& s) { return s.batch * s.in_height * s.in_width * s.in_channels; }
int64_t y_size(const ConvolutionShape& s) { return s.batch * s.out_height() * s.out_width() * s.out_channels; }
int64_t w_size(const ConvolutionShape& s) { return s.out_channels * s.kernel_height * s.kernel_width * s.in_channels; }

void cast(DType from, DType to, int64_t size, const void* x, void* y, Stream& stream) {
  run(Cast{.x_dtype = from, .y_dtype = to, .size = size, .x = x, .y = y}, stream);
}

/// Runs `body(a, b, out)` in f32 on converted copies.
template <class Body>
void through_f32(DType dtype, DType out_dtype, int64_t a_size, const void* a, int64_t b_size, const void* b, int64_t out_size,
                 void* out, Stream& stream, const Body& body) {
  const Workspace a32(a_size * 4);
  const Workspace b32(b_size * 4);
  const Workspace out32(out_size * 4);
  cast(dtype, DType::f32, a_size, a, a32.data(), stream);
  cast(dtype, DType::f32, b_size, b, b32.data(), stream);
  body(a32.data(), b32.data(), out32.data());
  cast(DType::f32, out_dtype, out_size, out32.data(), out, stream);
}

/// In oneDNN 2.6.3, the bf16 data gradient of a 1x1 convolution reads one output channel too many if their number is odd.
bool wrong_in_16_bits(const ConvolutionBackwardData& args) {
  const ConvolutionShape& s = args.shape;
  return computed_in(args.dtype) == DType::bf16 && s.kernel_height == 1 && s.kernel_width == 1 && s.out_channels % 2 != 0;
}

}  // namespace

void run(const ConvolutionForward& args, Stream& stream) {
  if (args.fused()) {
    run_composed(args, stream);
    return;
  }
  const ConvolutionShape& s = args.shape;
  if (y_size(s) == 0) {
    return;
  }
  switch (choose_kernel(Pass::forward, s)) {
    case Kernel::winograd:
      run(WinogradConvolution{.dtype = args.dtype, .shape = s, .flipped = false, .x = args.x, .w = args.w, .y = args.y},
          stream);
      return;
    case Kernel::direct: run(DirectForward{.pass = args}, stream); return;
    case Kernel::onednn: break;
  }
  if (!onednn_native(args.dtype)) {
    ConvolutionForward f32 = args;
    f32.dtype = DType::f32;
    through_f32(args.dtype, args.dtype, x_size(s), args.x, w_size(s), args.w, y_size(s), args.y, stream,
                [&](void* x, void* w, void* y) {
                  f32.x = x, f32.w = w, f32.y = y;
                  run(f32, stream);
                });
    return;
  }
  const DType computed = computed_in(args.dtype);
  const Plan& plan = find_plan(Pass::forward, computed, computed, s);
  const Operand x(plain(x_dims(s), args.dtype), args.x, plan.x);
  const Operand w(plain_weights(s, args.dtype), args.w, plan.w);
  const Operand y(plain(y_dims(s), args.dtype), args.y, plan.y);
  const Workspace scratchpad(static_cast<int64_t>(plan.scratchpad.get_size()));
  plan.primitive.execute(onednn_stream(), {{DNNL_ARG_SRC, x.input()},
                                           {DNNL_ARG_WEIGHTS, w.input()},
                                           {DNNL_ARG_DST, y.output()},
                                           {DNNL_ARG_SCRATCHPAD, onednn_memory(plan.scratchpad, scratchpad.data())}});
  y.finish();
}

void run(const ConvolutionBackwardData& args, Stream& stream) {
  if (args.fused()) {
    run_composed(args, stream);
    return;
  }
  const ConvolutionShape& s = args.shape;
  if (x_size(s) == 0) {
    return;
  }
  switch (choose_kernel(Pass::backward_data, s)) {
    case Kernel::winograd: {
      ConvolutionShape from_dy = s;
      std::swap(from_dy.in_channels, from_dy.out_channels);
      run(WinogradConvolution{.dtype = args.dtype, .shape = from_dy, .flipped = true, .x = args.dy, .w = args.w, .y = args.dx},
          stream);
      return;
    }
    case Kernel::direct: run(DirectBackwardData{.pass = args}, stream); return;
    case Kernel::onednn: break;
  }
  if (!onednn_native(args.dtype) || wrong_in_16_bits(args)) {
    ConvolutionBackwardData f32 = args;
    f32.dtype = DType::f32;
    through_f32(args.dtype, args.dtype, y_size(s), args.dy, w_size(s), args.w, x_size(s), args.dx, stream,
                [&](void* dy, void* w, void* dx) {
                  f32.dy = dy, f32.w = w, f32.dx = dx;
                  run(f32, stream);
                });
    return;
  }
  const DType computed = computed_in(args.dtype);
  const Plan& plan = find_plan(Pass::backward_data, computed, computed, s);
  const Operand dy(plain(y_dims(s), args.dtype), args.dy, plan.y);
  const Operand w(plain_weights(s, args.dtype), args.w, plan.w);
  const Operand dx(plain(x_dims(s), args.dtype), args.dx, plan.x);
  const Workspace scratchpad(static_cast<int64_t>(plan.scratchpad.get_size()));
  plan.primitive.execute(onednn_stream(), {{DNNL_ARG_DIFF_DST, dy.input()},
                                           {DNNL_ARG_WEIGHTS, w.input()},
                                           {DNNL_ARG_DIFF_SRC, dx.output()},
                                           {DNNL_ARG_SCRATCHPAD, onednn_memory(plan.scratchpad, scratchpad.data())}});
  dx.finish();
}

void run(const ConvolutionBackwardWeights& args, Stream& stream) {
  if (args.fused()) {
    run_composed(args, stream);
    return;
  }
  const ConvolutionShape& s = args.shape;
  switch (choose_kernel(Pass::backward_weights, s)) {
    case Kernel::winograd:
      run(
          WinogradWeights{
              .dtype = args.dtype, .dw_dtype = args.dw_dtype, .shape = s, .x = args.x, .dy = args.dy, .dw = args.dw},
          stream);
      return;
    case Kernel::direct: run(DirectBackwardWeights{.pass = args}, stream); return;
    case Kernel::onednn: break;
  }
  if (!onednn_native(args.dtype) || !onednn_native(args.dw_dtype)) {
    ConvolutionBackwardWeights f32 = args;
    f32.dtype = f32.dw_dtype = DType::f32;
    through_f32(args.dtype, args.dw_dtype, x_size(s), args.x, y_size(s), args.dy, w_size(s), args.dw, stream,
                [&](void* x, void* dy, void* dw) {
                  f32.x = x, f32.dy = dy, f32.dw = dw;
                  run(f32, stream);
                });
    return;
  }
  const DType computed = computed_in(args.dtype);
  const Plan& plan = find_plan(Pass::backward_weights, computed, computed == args.dtype ? args.dw_dtype : computed, s);
  const Operand x(plain(x_dims(s), args.dtype), args.x, plan.x);
  const Operand dy(plain(y_dims(s), args.dtype), args.dy, plan.y);
  const Operand dw(plain_weights(s, args.dw_dtype), args.dw, plan.w);
  const Workspace scratchpad(static_cast<int64_t>(plan.scratchpad.get_size()));
  plan.primitive.execute(onednn_stream(), {{DNNL_ARG_SRC, x.input()},
                                           {DNNL_ARG_DIFF_DST, dy.input()},
                                           {DNNL_ARG_DIFF_WEIGHTS, dw.output()},
                                           {DNNL_ARG_SCRATCHPAD, onednn_memory(plan.scratchpad, scratchpad.data())}});
  dw.finish();
}

// Inside, the activation would be applied again in every pass.
void run(const ActivationPlacement& args, Stream&) { *args.inside = false; }

}  // namespace residua::cpu
