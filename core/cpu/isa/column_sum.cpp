#include "core/kernels/column_sum.h"

#include "core/cpu/isa.h"
#include "core/cpu/wide_rows.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const ColumnSum& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    const T* x = static_cast<const T*>(args.x);
    const WideRows wide(args.rows, args.columns);
    ColumnSums<1> sums(wide, 0);
    sums.run([=](int64_t first, int64_t, int64_t rows, auto extent, Floats* sum) {
      for (int64_t r = 0; r < rows; ++r) {
        for (int v = 0; v < extent.kVectors; ++v) {
          sum[v] += load(x + first + r * wide.width + v * kLanes, extent);
        }
      }
    });
    for (int64_t c = 0; c < args.columns; ++c) {
      args.y[c] = static_cast<float>(sums.total(0, c));
    }
  });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::ColumnSum)
