#include "core/ops/pool_shape.h"

namespace residua {

PoolShape pool_shape(const ArgumentCheck& check, const Tensor& x, PoolOptions options, int64_t largest_window) {
  check.floating("x", x);
  check.rank("x", x, 4);
  check.range("window", options.window, 1, largest_window);
  check.range("stride", options.stride, 1, 1 << 16);
  check.range("padding", options.padding, 0, options.window / 2);
  check.window_fits(x, options.window, options.window, options.padding);
  return {.batch = x.dim(0),
          .in_height = x.dim(1),
          .in_width = x.dim(2),
          .channels = x.dim(3),
          .window = options.window,
          .stride = options.stride,
          .padding = options.padding};
}

Shape pooled_shape(const PoolShape& shape) { return {shape.batch, shape.out_height(), shape.out_width(), shape.channels}; }

}  // namespace residua
