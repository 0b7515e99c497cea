#pragma once

#include <cstdint>

#include "core/kernels/pooling.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

/// The input pixels [begin, end) of one dimension in the window of output pixel `out`. The window itself, with padding, starts
/// at `first`.
struct PoolWindow {
  int64_t first, begin, end;
  PoolWindow(int64_t out, int64_t in_size, const PoolShape& s) : first(out * s.stride - s.padding) {
    begin = first < 0 ? 0 : first;
    end = first + s.window < in_size ? first + s.window : in_size;
  }
};

/// The output pixels [begin, end) of one dimension whose windows contain input pixel `in`.
struct PoolCover {
  int64_t begin, end;
  PoolCover(int64_t in, int64_t out_size, const PoolShape& s) {
    const int64_t reach = in + s.padding;
    begin = reach < s.window ? 0 : (reach - s.window) / s.stride + 1;
    end = reach / s.stride + 1 < out_size ? reach / s.stride + 1 : out_size;
  }

  /// Moves from input pixel `in` - 1 to `in`, without a division.
  void advance(int64_t in, int64_t out_size, const PoolShape& s) {
    const int64_t reach = in + s.padding;
    begin += begin * s.stride + s.window <= reach ? 1 : 0;
    end += end < out_size && end * s.stride <= reach ? 1 : 0;
  }
};

}  // namespace
}  // namespace residua::cpu::RESIDUA_ISA
