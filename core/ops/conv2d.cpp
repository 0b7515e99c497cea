#include "core/ops/conv2d.h"

#include "core/autograd/tape.h"
#include "core/kernels/convolution.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {
namespace {

Tensor convolve(const char* op, const Tensor& x, const Tensor& w, Conv2dOptions options, const OutputStatistics& statistics) {
  const ArgumentCheck check(op);
  check.floating("x", x);
  check.rank("x", x, 4);
  check.floating("w", w);
  check.rank("w", w, 4);
  check.exactly("w", w, {w.dim(0), w.dim(1), w.dim(2), x.dim(3)}, x.dtype(), x.device());
  check.range("stride", options.stride, 1, 1 << 16);
  check.range("padding", options.padding, 0, 1 << 16);
  check.window_fits(x, w.dim(1), w.dim(2), options.padding);

  const ConvolutionShape shape{x.dim(0), x.dim(1), x.dim(2),       x.dim(3),       w.dim(0),
                               w.dim(1), w.dim(2), options.stride, options.padding};
  const Tensor y = empty({shape.batch, shape.out_height(), shape.out_width(), shape.out_channels}, x.dtype(), x.device());
  run(x.device(), ConvolutionForward{x.dtype(), shape, x.data(), w.data(), y.data(), kNoInputActivation, statistics});

  return record(y, {x, w}, op, [x = x.detached(), w = w.detached(), shape](const Tensor& dy, Gradients& gradients) {
    if (gradients.wants(1)) {
      const Tensor dw = gradients.output_as_stored(1);
      run(x.device(),
          ConvolutionBackwardWeights{x.dtype(), dw.dtype(), shape, x.data(), dy.data(), dw.data(), kNoInputActivation});
    }
    if (gradients.wants(0)) {
      const Tensor dx = gradients.output(0);
      run(x.device(), ConvolutionBackwardData{x.dtype(), shape, dy.data(), w.data(), dx.data(), kNoGradientSums});
    }
  });
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, Conv2dOptions options) {
  return convolve("conv2d", x, w, options, kNoOutputStatistics);
}

Tensor conv2d_with_statistics(const Tensor& x, const Tensor& w, Conv2dOptions options, const BatchNorm& norm) {
  const ArgumentCheck check("conv2d_with_statistics");
  check.rank("w", w, 4);
  for (const auto& [name, tensor] : {std::pair{"batch_mean", norm.batch_mean}, std::pair{"batch_var", norm.batch_var},
                                     std::pair{"batch_rstd", norm.batch_rstd}}) {
    check.exactly(name, tensor, {w.dim(0)}, DType::f32, w.device());
  }
  return convolve("conv2d_with_statistics", x, w, options,
                  {norm.epsilon, norm.batch_mean.data<float>(), norm.batch_var.data<float>(), norm.batch_rstd.data<float>()});
}

}  // namespace residua
