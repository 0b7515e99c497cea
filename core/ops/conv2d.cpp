#include "core/ops/conv2d.h"

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/kernels/run.h"
#include "core/ops/convolution_shape.h"

namespace residua {

Tensor conv2d(const Tensor& x, const Tensor& w, Conv2dOptions options, const BatchNormTensors* next) {
  const ArgumentCheck check("conv2d");
  const ConvolutionShape shape = convolution_shape(check, x, w, options);
  const OutputStatistics statistics =
      next != nullptr ? output_statistics(check, shape, x.device(), *next) : kNoOutputStatistics;
  const Tensor y = empty(convolved_shape(shape), x.dtype(), x.device());
  run(x.device(), ConvolutionForward{.dtype = x.dtype(),
                                     .shape = shape,
                                     .x = x.data(),
                                     .w = w.data(),
                                     .y = y.data(),
                                     .activation = kNoInputActivation,
                                     .statistics = statistics});
  trace(check.op(), {x, w}, y, {{"stride", options.stride}, {"padding", options.padding}});

  return record(y, {x, w}, check.op(), [x = x.detached(), w = w.detached(), shape](const Tensor& dy, Gradients& gradients) {
    if (gradients.wants(1)) {
      const Tensor dw = gradients.output_as_stored(1);
      run(x.device(), ConvolutionBackwardWeights{.dtype = x.dtype(),
                                                 .dw_dtype = dw.dtype(),
                                                 .shape = shape,
                                                 .x = x.data(),
                                                 .dy = dy.data(),
                                                 .dw = dw.data(),
                                                 .activation = kNoInputActivation});
    }
    if (gradients.wants(0)) {
      const Tensor dx = gradients.output(0);
      run(x.device(),
          ConvolutionBackwardData{
              .dtype = x.dtype(), .shape = shape, .dy = dy.data(), .w = w.data(), .dx = dx.data(), .sums = kNoGradientSums});
    }
  });
}

}  // namespace residua
