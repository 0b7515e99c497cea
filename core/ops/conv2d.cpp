#include "core/ops/conv2d.h"

#include "core/autograd/tape.h"
#include "core/kernels/convolution.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {

Tensor conv2d(const Tensor& x, const Tensor& w, Conv2dOptions options) {
  const ArgumentCheck check("conv2d");
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
  run(x.device(), ConvolutionForward{x.dtype(), shape, x.data(), w.data(), y.data()});

  return record(y, {x, w}, "conv2d", [x = x.detached(), w = w.detached(), shape](const Tensor& dy, Gradients& gradients) {
    if (gradients.wants(1)) {
      const Tensor dw = gradients.output_as_stored(1);
      run(x.device(), ConvolutionBackwardWeights{x.dtype(), dw.dtype(), shape, x.data(), dy.data(), dw.data()});
    }
    if (gradients.wants(0)) {
      const Tensor dx = gradients.output(0);
      run(x.device(), ConvolutionBackwardData{x.dtype(), shape, dy.data(), w.data(), dx.data()});
    }
  });
}

}  // namespace residua
