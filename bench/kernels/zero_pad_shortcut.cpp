#include "core/kernels/zero_pad_shortcut.h"

#include "bench/kernels/kernel_case.h"
#include "core/kernels/pooling.h"

namespace residua::bench {
namespace {

std::vector<KernelCase> cases(int64_t batch) {
  std::vector<KernelCase> all;
  for (const ShortcutPool pool : {ShortcutPool::stride, ShortcutPool::average}) {
    const ZeroPadShortcutShape s{.batch = batch,
                                 .in_height = 56,
                                 .in_width = 56,
                                 .in_channels = 64,
                                 .out_channels = 128,
                                 .stride = 2,
                                 .pool = pool,
                                 .pad = ShortcutPad::end};
    const int64_t x_size = batch * 56 * 56 * 64;
    const int64_t y_size = batch * 28 * 28 * 128;
    const int64_t pooled_size = batch * 28 * 28 * 64;
    // `unfused` splits the average form; its padding takes the CUDA kernel's general path. The stride form is a single strided
    // copy.
    const bool averaged = pool == ShortcutPool::average;
    const PoolShape window{
        .batch = batch, .in_height = 56, .in_width = 56, .channels = 64, .window = 2, .stride = 2, .padding = 0};
    const ZeroPadShortcutShape pad{.batch = batch,
                                   .in_height = 28,
                                   .in_width = 28,
                                   .in_channels = 64,
                                   .out_channels = 128,
                                   .stride = 1,
                                   .pool = ShortcutPool::stride,
                                   .pad = ShortcutPad::end};
    const std::string form = averaged ? " average" : " stride";
    const std::string shape = shape_name({batch, 56, 56, 64});
    all.push_back(
        {.kernel = "ZeroPadShortcutForward" + form,
         .shape = shape,
         .own =
             [=](Operands& o) {
               if (!averaged) {  // one pixel in four is read
                 o.count(-0.75 * static_cast<double>(x_size * size_bytes(o.dtype())));
               }
               return sequence(
                   o, ZeroPadShortcutForward{.dtype = o.dtype(), .shape = s, .x = o.read(x_size), .y = o.written(y_size)});
             },
         .unfused = averaged ? Maker([=](Operands& o) {
           const AveragePoolForward mean{.dtype = o.dtype(), .shape = window, .x = o.read(x_size), .y = o.written(pooled_size)};
           return sequence(o, mean,
                           ZeroPadShortcutForward{.dtype = o.dtype(), .shape = pad, .x = mean.y, .y = o.written(y_size)});
         })
                             : Maker()});
    all.push_back(
        {.kernel = "ZeroPadShortcutBackward" + form,
         .shape = shape,
         .own =
             [=](Operands& o) {
               // The new channels are not read.
               o.count(-0.5 * static_cast<double>(y_size * size_bytes(o.dtype())));
               return sequence(
                   o, ZeroPadShortcutBackward{.dtype = o.dtype(), .shape = s, .dy = o.read(y_size), .dx = o.written(x_size)});
             },
         .unfused = averaged ? Maker([=](Operands& o) {
           o.count(-0.5 * static_cast<double>(y_size * size_bytes(o.dtype())));
           const ZeroPadShortcutBackward old{
               .dtype = o.dtype(), .shape = pad, .dy = o.read(y_size), .dx = o.written(pooled_size)};
           return sequence(o, old,
                           AveragePoolBackward{.dtype = o.dtype(), .shape = window, .dy = old.dx, .dx = o.written(x_size)});
         })
                             : Maker()});
  }
  return all;
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
