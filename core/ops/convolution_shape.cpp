#include "core/ops/convolution_shape.h"

namespace residua {

ConvolutionShape convolution_shape(const ArgumentCheck& check, const Tensor& x, const Tensor& w, Conv2dOptions options) {
  check.floating("x", x);
  check.rank("x", x, 4);
  check.floating("w", w);
  check.rank("w", w, 4);
  check.exactly("w", w, {w.dim(0), w.dim(1), w.dim(2), x.dim(3)}, x.dtype(), x.device());
  check.range("stride", options.stride, 1, 1 << 16);
  check.range("padding", options.padding, 0, 1 << 16);
  check.window_fits(x, w.dim(1), w.dim(2), options.padding);
  return {.batch = x.dim(0),
          .in_height = x.dim(1),
          .in_width = x.dim(2),
          .in_channels = x.dim(3),
          .out_channels = w.dim(0),
          .kernel_height = w.dim(1),
          .kernel_width = w.dim(2),
          .stride = options.stride,
          .padding = options.padding};
}

Shape convolved_shape(const ConvolutionShape& shape) {
  return {shape.batch, shape.out_height(), shape.out_width(), shape.out_channels};
}

OutputStatistics output_statistics(const ArgumentCheck& check, const ConvolutionShape& shape, Device device,
                                   const BatchNormTensors& next) {
  for (const auto& [name, tensor] : {std::pair{"batch_mean", next.batch_mean}, std::pair{"batch_var", next.batch_var},
                                     std::pair{"batch_rstd", next.batch_rstd}}) {
    check.exactly(name, tensor, {shape.out_channels}, DType::f32, device);
  }
  return {.epsilon = next.epsilon,
          .mean = next.batch_mean.data<float>(),
          .variance = next.batch_var.data<float>(),
          .rstd = next.batch_rstd.data<float>()};
}

}  // namespace residua
