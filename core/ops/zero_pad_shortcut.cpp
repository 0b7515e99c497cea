#include "core/ops/zero_pad_shortcut.h"

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {

Tensor zero_pad_shortcut(const Tensor& x, ZeroPadShortcutOptions options) {
  const ArgumentCheck check("zero_pad_shortcut");
  check.floating("x", x);
  check.rank("x", x, 4);
  check.range("out_channels", options.out_channels, x.dim(3), 1 << 24);
  check.range("stride", options.stride, 1, 2);

  const ZeroPadShortcutShape shape{.batch = x.dim(0),
                                   .in_height = x.dim(1),
                                   .in_width = x.dim(2),
                                   .in_channels = x.dim(3),
                                   .out_channels = options.out_channels,
                                   .stride = options.stride,
                                   .pool = options.pool,
                                   .pad = options.pad};
  const Tensor y = empty({shape.batch, shape.out_height(), shape.out_width(), shape.out_channels}, x.dtype(), x.device());
  run(x.device(), ZeroPadShortcutForward{.dtype = x.dtype(), .shape = shape, .x = x.data(), .y = y.data()});
  trace(check.op(), {x}, y,
        {{"stride", shape.stride}, {"average", shape.pool == ShortcutPool::average}, {"first_channel", shape.first_channel()}});

  return record(y, {x}, "zero_pad_shortcut", [shape](const Tensor& dy, Gradients& gradients) {
    const Tensor dx = gradients.output(0);
    run(dy.device(), ZeroPadShortcutBackward{.dtype = dy.dtype(), .shape = shape, .dy = dy.data(), .dx = dx.data()});
  });
}

}  // namespace residua
