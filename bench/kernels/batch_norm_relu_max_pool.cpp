#include "core/kernels/batch_norm_relu_max_pool.h"

#include "bench/kernels/kernel_case.h"
#include "core/kernels/batch_norm.h"

namespace residua::bench {
namespace {

std::vector<KernelCase> cases(int64_t batch) {
  const PoolShape s{.batch = batch, .in_height = 112, .in_width = 112, .channels = 64, .window = 3, .stride = 2, .padding = 1};
  const int64_t rows = batch * 112 * 112;
  const int64_t x_size = rows * s.channels;
  const int64_t y_size = batch * 56 * 56 * s.channels;
  const std::string shape = shape_name({batch, 112, 112, 64});
  const auto parameter = [=](Operands& o) { return o.read<float>(s.channels, 0.5, 1.5); };
  const auto sum = [=](Operands& o) { return o.written<float>(s.channels); };
  // Two positions in the middle of a window, which are inside x for every window.
  const auto index = [=](Operands& o) { return o.read<uint8_t>(y_size, 4, 5); };
  return {
      {.kernel = "BatchNormReluMaxPoolForward",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, BatchNormReluMaxPoolForward{.dtype = o.dtype(),
                                                            .shape = s,
                                                            .group_images = s.batch,
                                                            .x = o.read(x_size),
                                                            .gamma = parameter(o),
                                                            .beta = parameter(o),
                                                            .mean = parameter(o),
                                                            .rstd = parameter(o),
                                                            .y = o.written(y_size),
                                                            .index = o.written<uint8_t>(y_size)});
           },
       .unfused =
           [=](Operands& o) {
             const BatchNormApply apply{.dtype = o.dtype(),
                                        .rows = rows,
                                        .group_rows = rows,
                                        .channels = s.channels,
                                        .x = o.read(x_size),
                                        .residual = nullptr,
                                        .gamma = parameter(o),
                                        .beta = parameter(o),
                                        .mean = parameter(o),
                                        .rstd = parameter(o),
                                        .activation = Activation::relu,
                                        .y = o.written(x_size),
                                        .mask = o.written<uint8_t>(x_size / 8)};
             return sequence(o, apply,
                             MaxPoolForward{.dtype = o.dtype(),
                                            .shape = s,
                                            .x = apply.y,
                                            .y = o.written(y_size),
                                            .index = o.written<uint8_t>(y_size)});
           }},
      {.kernel = "BatchNormReluMaxPoolBackwardReduce",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, BatchNormReluMaxPoolBackwardReduce{.dtype = o.dtype(),
                                                                   .shape = s,
                                                                   .group_images = s.batch,
                                                                   .x = nullptr,
                                                                   .y = o.read(y_size),
                                                                   .dy = o.read(y_size),
                                                                   .index = nullptr,
                                                                   .gamma = parameter(o),
                                                                   .beta = parameter(o),
                                                                   .mean = parameter(o),
                                                                   .rstd = parameter(o),
                                                                   .sum_g = sum(o),
                                                                   .sum_g_xhat = sum(o)});
           },
       .unfused =
           [=](Operands& o) {
             const MaxPoolBackward pool{
                 .dtype = o.dtype(), .shape = s, .dy = o.read(y_size), .index = index(o), .dx = o.written(x_size)};
             return sequence(o, pool,
                             BatchNormBackwardReduce{.dtype = o.dtype(),
                                                     .rows = rows,
                                                     .group_rows = rows,
                                                     .channels = s.channels,
                                                     .x = o.read(x_size),
                                                     .dy = pool.dx,
                                                     .more = nullptr,
                                                     .mask = o.read<uint8_t>(x_size / 8, 0, 255),
                                                     .mean = parameter(o),
                                                     .rstd = parameter(o),
                                                     .sum_g = sum(o),
                                                     .sum_g_xhat = sum(o),
                                                     .g = nullptr});
           }},
      {.kernel = "BatchNormReluMaxPoolBackwardApply",
       .shape = shape,
       .own =
           [=](Operands& o) {
             return sequence(o, BatchNormReluMaxPoolBackwardApply{.dtype = o.dtype(),
                                                                  .shape = s,
                                                                  .group_images = s.batch,
                                                                  .x = o.read(x_size),
                                                                  .dy = o.read(y_size),
                                                                  .index = index(o),
                                                                  .gamma = parameter(o),
                                                                  .mean = parameter(o),
                                                                  .rstd = parameter(o),
                                                                  .sum_g = parameter(o),
                                                                  .sum_g_xhat = parameter(o),
                                                                  .dx = o.written(x_size)});
           },
       .unfused =
           [=](Operands& o) {
             const MaxPoolBackward pool{
                 .dtype = o.dtype(), .shape = s, .dy = o.read(y_size), .index = index(o), .dx = o.written(x_size)};
             return sequence(o, pool,
                             BatchNormBackwardApply{.dtype = o.dtype(),
                                                    .rows = rows,
                                                    .group_rows = rows,
                                                    .channels = s.channels,
                                                    .x = o.read(x_size),
                                                    .dy = pool.dx,
                                                    .mask = o.read<uint8_t>(x_size / 8, 0, 255),
                                                    .gamma = parameter(o),
                                                    .mean = parameter(o),
                                                    .rstd = parameter(o),
                                                    .sum_g = parameter(o),
                                                    .sum_g_xhat = parameter(o),
                                                    .dx = o.written(x_size)});
           }},
  };
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
