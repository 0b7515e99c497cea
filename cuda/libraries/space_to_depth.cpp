#include "cuda/libraries/space_to_depth.h"

#include "cuda/kernels/space_to_depth.h"

namespace residua::cuda {
namespace {

using device_api::Workspace;

/// Zero rows and columns before the kernel, so that windows begin at whole blocks and pairs of pixels stay aligned.
int64_t kernel_lead(const ConvolutionShape& s) { return s.padding % 2; }

SpaceToDepthShape input_blocks(const ConvolutionShape& s) {
  const ConvolutionShape blocks = space_to_depth(s);
  return {.images = s.batch,
          .height = s.in_height,
          .width = s.in_width,
          .channels = s.in_channels,
          .lead = s.padding + kernel_lead(s),
          .block_rows = blocks.in_height,
          .block_columns = blocks.in_width};
}

SpaceToDepthShape weight_blocks(const ConvolutionShape& s) {
  const ConvolutionShape blocks = space_to_depth(s);
  return {.images = s.out_channels,
          .height = s.kernel_height,
          .width = s.kernel_width,
          .channels = s.in_channels,
          .lead = kernel_lead(s),
          .block_rows = blocks.kernel_height,
          .block_columns = blocks.kernel_width};
}

int64_t bytes(const SpaceToDepthShape& s) { return s.images * s.block_rows * s.block_columns * 4 * s.channels * 2; }

}  // namespace

bool has_space_to_depth(DType dtype, const ConvolutionShape& shape) {
  return (dtype == DType::f16 || dtype == DType::bf16) && shape.stride == 2 &&
         (shape.in_channels == 2 || shape.in_channels == 4) && shape.kernel_height > 2 && shape.kernel_width > 2;
}

bool has_space_to_depth(const ConvolutionForward& args) {
  return args.activation.gamma == nullptr && has_space_to_depth(args.dtype, args.shape);
}

bool has_space_to_depth(const ConvolutionBackwardWeights& args) {
  return args.activation.gamma == nullptr && has_space_to_depth(args.dtype, args.shape);
}

ConvolutionShape space_to_depth(const ConvolutionShape& shape) {
  ConvolutionShape blocks = shape;
  blocks.kernel_height = (shape.kernel_height + kernel_lead(shape) + 1) / 2;
  blocks.kernel_width = (shape.kernel_width + kernel_lead(shape) + 1) / 2;
  blocks.in_height = shape.out_height() + blocks.kernel_height - 1;
  blocks.in_width = shape.out_width() + blocks.kernel_width - 1;
  blocks.in_channels = 4 * shape.in_channels;
  blocks.stride = 1;
  blocks.padding = 0;
  return blocks;
}

void run_space_to_depth(const ConvolutionForward& args, const Plan<ConvolutionForward>& plan, Stream& stream) {
  const SpaceToDepthShape input = input_blocks(args.shape);
  const SpaceToDepthShape weights = weight_blocks(args.shape);
  const Workspace x(stream.device(), bytes(input));
  const Workspace w(stream.device(), bytes(weights));
  run(SpaceToDepth{input, args.x, x.data()}, stream);
  run(SpaceToDepth{weights, args.w, w.data()}, stream);
  ConvolutionForward call = args;
  call.shape = space_to_depth(args.shape);
  call.x = x.data();
  call.w = w.data();
  plan(call, stream);
}

void run_space_to_depth(const ConvolutionBackwardWeights& args, const Plan<ConvolutionBackwardWeights>& plan, Stream& stream) {
  const SpaceToDepthShape input = input_blocks(args.shape);
  const SpaceToDepthShape weights = weight_blocks(args.shape);
  const Workspace x(stream.device(), bytes(input));
  const Workspace dw(stream.device(), bytes(weights));
  run(SpaceToDepth{input, args.x, x.data()}, stream);
  ConvolutionBackwardWeights call = args;
  call.shape = space_to_depth(args.shape);
  call.x = x.data();
  call.dw = dw.data();
  plan(call, stream);
  run(DepthToSpace{weights, dw.data(), args.dw}, stream);
}

}  // namespace residua::cuda
