#include "core/ops/zero_pad_shortcut.h"

#include "core/autograd/tape.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {

Tensor zero_pad_shortcut(const Tensor& x, ZeroPadShortcutOptions options) {
  const ArgumentCheck check("zero_pad_shortcut");
  check.floating("x", x);
  check.rank("x", x, 4);
  check.range("out_channels", options.out_channels, x.dim(3), 1 << 24);
  check.range("stride", options.stride, 1, 1 << 16);

  const ZeroPadShortcutShape shape{x.dim(0),       x.dim(1),     x.dim(2),   x.dim(3), options.out_channels,
                                   options.stride, options.pool, options.pad};
  const Tensor y = empty({shape.batch, shape.out_height(), shape.out_width(), shape.out_channels}, x.dtype(), x.device());
  run(x.device(), ZeroPadShortcutForward{x.dtype(), shape, x.data(), y.data()});

  return record(y, {x}, "zero_pad_shortcut", [shape](const Tensor& dy, Gradients& gradients) {
    const Tensor dx = gradients.output(0);
    run(dy.device(), ZeroPadShortcutBackward{dy.dtype(), shape, dy.data(), dx.data()});
  });
}

}  // namespace residua
