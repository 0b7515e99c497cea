#include "core/kernels/zero_pad_shortcut.h"

#include "bench/kernels/kernel_case.h"

namespace residua::bench {
namespace {

std::vector<KernelCase> cases(int64_t batch) {
  std::vector<KernelCase> all;
  for (const ShortcutPool pool : {ShortcutPool::stride, ShortcutPool::average}) {
    const ZeroPadShortcutShape s{batch, 56, 56, 64, 128, 2, pool, ShortcutPad::end};
    const int64_t x_size = batch * 56 * 56 * 64;
    const int64_t y_size = batch * 28 * 28 * 128;
    const std::string form = pool == ShortcutPool::stride ? " stride" : " average";
    const std::string shape = shape_name({batch, 56, 56, 64});
    all.push_back({.kernel = "ZeroPadShortcutForward" + form, .shape = shape, .own = [=](Operands& o) {
                     if (pool == ShortcutPool::stride) {  // one pixel in four is read
                       o.count(-0.75 * static_cast<double>(x_size * size_bytes(o.dtype())));
                     }
                     return sequence(o, ZeroPadShortcutForward{o.dtype(), s, o.read(x_size), o.written(y_size)});
                   }});
    all.push_back({.kernel = "ZeroPadShortcutBackward" + form, .shape = shape, .own = [=](Operands& o) {
                     o.count(-0.5 * static_cast<double>(y_size * size_bytes(o.dtype())));  // the new channels are not read
                     return sequence(o, ZeroPadShortcutBackward{o.dtype(), s, o.read(y_size), o.written(x_size)});
                   }});
  }
  return all;
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
