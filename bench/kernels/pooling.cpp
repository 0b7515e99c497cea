#include "core/kernels/pooling.h"

#include "bench/kernels/cudnn.h"

namespace residua::bench {
namespace {

void add_windows(std::vector<KernelCase>& all, const PoolShape& s) {
  const int64_t x_size = s.batch * s.in_height * s.in_width * s.channels;
  const int64_t y_size = s.batch * s.out_height() * s.out_width() * s.channels;
  const std::string shape = shape_name({s.batch, s.in_height, s.in_width, s.channels});
  all.push_back(
      {.kernel = "MaxPoolForward",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, MaxPoolForward{o.dtype(), s, o.read(x_size), o.written(y_size), o.written<uint8_t>(y_size)});
           },
       .cudnn = cudnn_pool(Pass::forward, Pool::max, s)});
  all.push_back({.kernel = "MaxPoolBackward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       // Two places in the middle of a window: inside of x wherever the window lies.
                       const int64_t middle = s.window / 2 * (s.window + 1);
                       const auto low = static_cast<double>(middle);
                       return sequence(o, MaxPoolBackward{o.dtype(), s, o.read(y_size), o.read<uint8_t>(y_size, low, low + 1),
                                                          o.written(x_size)});
                     },
                 .cudnn = cudnn_pool(Pass::backward, Pool::max, s)});
  all.push_back({.kernel = "AveragePoolForward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(o, AveragePoolForward{o.dtype(), s, o.read(x_size), o.written(y_size)});
                     },
                 .cudnn = cudnn_pool(Pass::forward, Pool::average, s)});
  all.push_back({.kernel = "AveragePoolBackward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(o, AveragePoolBackward{o.dtype(), s, o.read(y_size), o.written(x_size)});
                     },
                 .cudnn = cudnn_pool(Pass::backward, Pool::average, s)});
}

void add_global(std::vector<KernelCase>& all, int64_t batch, int64_t side, int64_t channels) {
  const int64_t area = side * side;
  const int64_t y_size = batch * channels;
  const PoolShape window{batch, side, side, channels, side, side, 0};
  const std::string shape = shape_name({batch, side, side, channels});
  all.push_back({.kernel = "GlobalAveragePoolForward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(o, GlobalAveragePoolForward{o.dtype(), batch, area, channels, o.read(area * y_size),
                                                                   o.written(y_size)});
                     },
                 .cudnn = cudnn_pool(Pass::forward, Pool::average, window)});
  all.push_back({.kernel = "GlobalAveragePoolBackward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(o, GlobalAveragePoolBackward{o.dtype(), batch, area, channels, o.read(y_size),
                                                                    o.written(area * y_size)});
                     },
                 .cudnn = cudnn_pool(Pass::backward, Pool::average, window)});
}

std::vector<KernelCase> cases(int64_t batch) {
  std::vector<KernelCase> all;
  add_windows(all, {batch, 112, 112, 64, 3, 2, 1});
  add_global(all, batch, 7, 512);
  add_global(all, batch, 7, 2048);
  return all;
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
