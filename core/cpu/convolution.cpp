// Convolution on the CPU through oneDNN. Activations stay NHWC; the weights are packed for each call into the layout that the
// primitive wants (once a step for each direction: under 1 % of its time). Types that oneDNN has no instructions for go through
// f32.
#include "core/kernels/convolution.h"

#include <array>
#include <map>
#include <optional>
#include <tuple>

#include "core/cpu/onednn.h"
#include "core/kernels/cast.h"

namespace residua::cpu {
namespace {

using dnnl::memory;

enum class Pass { forward, backward_data, backward_weights };

/// A primitive and the layouts it wants.
struct Plan {
  dnnl::primitive primitive;
  memory::desc x, y, w_plain, w_packed, scratchpad;
};

memory::desc activation(DType dtype, int64_t n, int64_t h, int64_t w, int64_t c) {
  return {{n, c, h, w}, onednn_type(dtype), memory::format_tag::nhwc};
}

Plan make_plan(Pass pass, DType dtype, DType w_dtype, const ConvolutionShape& s) {
  const memory::dims w_dims = {s.out_channels, s.in_channels, s.kernel_height, s.kernel_width};
  const memory::desc x = activation(dtype, s.batch, s.in_height, s.in_width, s.in_channels);
  const memory::desc y = activation(dtype, s.batch, s.out_height(), s.out_width(), s.out_channels);
  const memory::desc w(w_dims, onednn_type(w_dtype), memory::format_tag::any);
  const memory::desc w_forward(w_dims, onednn_type(dtype), memory::format_tag::any);
  const memory::dims strides = {s.stride, s.stride};
  const memory::dims padding = {s.padding, s.padding};
  constexpr auto kDirect = dnnl::algorithm::convolution_direct;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  Plan plan{.primitive = {},
            .x = x,
            .y = y,
            .w_plain = {w_dims, onednn_type(w_dtype), memory::format_tag::ohwi},
            .w_packed = {},
            .scratchpad = {}};
  const dnnl::convolution_forward::primitive_desc forward(onednn_engine(), dnnl::prop_kind::forward_training, kDirect, x,
                                                          w_forward, y, strides, padding, padding, attributes);
  const auto finish = [&plan](const auto& desc, const memory::desc& w_packed) {
    plan.w_packed = w_packed;
    plan.scratchpad = desc.scratchpad_desc();
    plan.primitive = dnnl::primitive(desc);
  };
  if (pass == Pass::forward) {
    finish(forward, forward.weights_desc());
  } else if (pass == Pass::backward_data) {
    const dnnl::convolution_backward_data::primitive_desc backward(onednn_engine(), kDirect, x, w, y, strides, padding, padding,
                                                                   forward, attributes);
    finish(backward, backward.weights_desc());
  } else {
    const dnnl::convolution_backward_weights::primitive_desc backward(onednn_engine(), kDirect, x, w, y, strides, padding,
                                                                      padding, forward, attributes);
    finish(backward, backward.diff_weights_desc());
  }
  return plan;
}

const Plan& find_plan(Pass pass, DType dtype, DType w_dtype, const ConvolutionShape& s) {
  using Key = std::tuple<Pass, DType, DType, std::array<int64_t, 9>>;
  thread_local std::map<Key, Plan> plans;
  const Key key{
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
    fail("oneDNN has no {} convolution of [{}, {}, {}, {}] with {} filters of {}x{}, stride {}, padding {}: {}", name(dtype),
         s.batch, s.in_height, s.in_width, s.in_channels, s.out_channels, s.kernel_height, s.kernel_width, s.stride, s.padding,
         error.what());
  }
}

void reorder(const memory::desc& from, const void* source, const memory::desc& to, void* target) {
  memory in = onednn_memory(from, source);
  memory out = onednn_memory(to, target);
  dnnl::reorder(in, out).execute(onednn_stream(), in, out);
}

int64_t x_size(const ConvolutionShape& s) { return s.batch * s.in_height * s.in_width * s.in_channels; }
int64_t y_size(const ConvolutionShape& s) { return s.batch * s.out_height() * s.out_width() * s.out_channels; }
int64_t w_size(const ConvolutionShape& s) { return s.out_channels * s.kernel_height * s.kernel_width * s.in_channels; }

void cast(DType from, DType to, int64_t size, const void* x, void* y, Stream& stream) {
  run(Cast{.x_dtype = from, .y_dtype = to, .size = size, .x = x, .y = y}, stream);
}

/// Runs `body(inputs..., output)` in f32 on converted copies.
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

}  // namespace

void run(const ConvolutionForward& args, Stream& stream) {
  const ConvolutionShape& s = args.shape;
  if (y_size(s) == 0) {
    return;
  }
  if (!onednn_native(args.dtype)) {
    through_f32(args.dtype, args.dtype, x_size(s), args.x, w_size(s), args.w, y_size(s), args.y, stream,
                [&](void* x, void* w, void* y) {
                  run(ConvolutionForward{DType::f32, s, x, w, y}, stream);
                });
    return;
  }
  const Plan& plan = find_plan(Pass::forward, args.dtype, args.dtype, s);
  const Workspace packed(static_cast<int64_t>(plan.w_packed.get_size()));
  const Workspace scratchpad(static_cast<int64_t>(plan.scratchpad.get_size()));
  reorder(plan.w_plain, args.w, plan.w_packed, packed.data());
  plan.primitive.execute(onednn_stream(), {{DNNL_ARG_SRC, onednn_memory(plan.x, args.x)},
                                           {DNNL_ARG_WEIGHTS, onednn_memory(plan.w_packed, packed.data())},
                                           {DNNL_ARG_DST, onednn_memory(plan.y, args.y)},
                                           {DNNL_ARG_SCRATCHPAD, onednn_memory(plan.scratchpad, scratchpad.data())}});
}

void run(const ConvolutionBackwardData& args, Stream& stream) {
  const ConvolutionShape& s = args.shape;
  if (x_size(s) == 0) {
    return;
  }
  if (!onednn_native(args.dtype)) {
    through_f32(args.dtype, args.dtype, y_size(s), args.dy, w_size(s), args.w, x_size(s), args.dx, stream,
                [&](void* dy, void* w, void* dx) {
                  run(ConvolutionBackwardData{DType::f32, s, dy, w, dx}, stream);
                });
    return;
  }
  const Plan& plan = find_plan(Pass::backward_data, args.dtype, args.dtype, s);
  const Workspace packed(static_cast<int64_t>(plan.w_packed.get_size()));
  const Workspace scratchpad(static_cast<int64_t>(plan.scratchpad.get_size()));
  reorder(plan.w_plain, args.w, plan.w_packed, packed.data());
  plan.primitive.execute(onednn_stream(), {{DNNL_ARG_DIFF_DST, onednn_memory(plan.y, args.dy)},
                                           {DNNL_ARG_WEIGHTS, onednn_memory(plan.w_packed, packed.data())},
                                           {DNNL_ARG_DIFF_SRC, onednn_memory(plan.x, args.dx)},
                                           {DNNL_ARG_SCRATCHPAD, onednn_memory(plan.scratchpad, scratchpad.data())}});
}

void run(const ConvolutionBackwardWeights& args, Stream& stream) {
  const ConvolutionShape& s = args.shape;
  if (!onednn_native(args.dtype) || !onednn_native(args.dw_dtype)) {
    through_f32(args.dtype, args.dw_dtype, x_size(s), args.x, y_size(s), args.dy, w_size(s), args.dw, stream,
                [&](void* x, void* dy, void* dw) {
                  run(ConvolutionBackwardWeights{DType::f32, DType::f32, s, x, dy, dw}, stream);
                });
    return;
  }
  const Plan& plan = find_plan(Pass::backward_weights, args.dtype, args.dw_dtype, s);
  const Workspace packed(static_cast<int64_t>(plan.w_packed.get_size()));
  const Workspace scratchpad(static_cast<int64_t>(plan.scratchpad.get_size()));
  plan.primitive.execute(onednn_stream(), {{DNNL_ARG_SRC, onednn_memory(plan.x, args.x)},
                                           {DNNL_ARG_DIFF_DST, onednn_memory(plan.y, args.dy)},
                                           {DNNL_ARG_DIFF_WEIGHTS, onednn_memory(plan.w_packed, packed.data())},
                                           {DNNL_ARG_SCRATCHPAD, onednn_memory(plan.scratchpad, scratchpad.data())}});
  reorder(plan.w_packed, packed.data(), plan.w_plain, args.dw);
}

}  // namespace residua::cpu
