#include "core/kernels/pooling.h"

#include "bench/kernels/cudnn.h"

namespace residua::bench {
namespace {

void add_windows(std::vector<KernelCase>& all, const PoolShape& s) {
  const int64_t x_size = s.batch * s.in_height * s.in_width * s.channels;
  const int64_t y_size = s.batch * s.out_height() * s.out_width() * s.channels;
  const std::string shape = shape_name({s.batch, s.in_height, s.in_width, s.channels});
  all.push_back({.kernel = "MaxPoolForward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(o, MaxPoolForward{.dtype = o.dtype(),
                                                         .shape = s,
                                                         .x = o.read(x_size),
                                                         .y = o.written(y_size),
                                                         .index = o.written<uint8_t>(y_size)});
                     },
                 .cudnn = cudnn_pool(Pass::forward, Pool::max, s)});
  all.push_back({.kernel = "MaxPoolBackward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       // Two positions in the middle of a window, which are inside x for every window.
                       const int64_t middle = s.window / 2 * (s.window + 1);
                       const auto low = static_cast<double>(middle);
                       return sequence(o, MaxPoolBackward{.dtype = o.dtype(),
                                                          .shape = s,
                                                          .dy = o.read(y_size),
                                                          .index = o.read<uint8_t>(y_size, low, low + 1),
                                                          .dx = o.written(x_size)});
                     },
                 .cudnn = cudnn_pool(Pass::backward, Pool::max, s)});
  all.push_back({.kernel = "AveragePoolForward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(
                           o, AveragePoolForward{.dtype = o.dtype(), .shape = s, .x = o.read(x_size), .y = o.written(y_size)});
                     },
                 .cudnn = cudnn_pool(Pass::forward, Pool::average, s)});
  all.push_back({.kernel = "AveragePoolBackward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(o, AveragePoolBackward{
                                              .dtype = o.dtype(), .shape = s, .dy = o.read(y_size), .dx = o.written(x_size)});
                     },
                 .cudnn = cudnn_pool(Pass::backward, Pool::average, s)});
}

void add_global(std::vector<KernelCase>& all, int64_t batch, int64_t side, int64_t channels) {
  const int64_t area = side * side;
  const int64_t y_size = batch * channels;
  const PoolShape window{
      .batch = batch, .in_height = side, .in_width = side, .channels = channels, .window = side, .stride = side, .padding = 0};
  const std::string shape = shape_name({batch, side, side, channels});
  all.push_back({.kernel = "GlobalAveragePoolForward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(o, GlobalAveragePoolForward{.dtype = o.dtype(),
                                                                   .batch = batch,
                                                                   .area = area,
                                                                   .channels = channels,
                                                                   .x = o.read(area * y_size),
                                                                   .y = o.written(y_size)});
                     },
                 .cudnn = cudnn_pool(Pass::forward, Pool::average, window)});
  all.push_back({.kernel = "GlobalAveragePoolBackward",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(o, GlobalAveragePoolBackward{.dtype = o.dtype(),
                                                                    .batch = batch,
                                                                    .area = area,
                                                                    .channels = channels,
                                                                    .dy = o.read(y_size),
                                                                    .dx = o.written(area * y_size)});
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
