#pragma once

#include <algorithm>
#include <cstdint>

/// Sizes of the blocks that convolutions work on. All in floats.
namespace residua::cpu {

/// Rows of a block: multiples of 12, which fill the registers of core/cpu/products.h.
inline constexpr int64_t kFewestRows = 12;
inline constexpr int64_t kMostRows = 96;

/// As many rows of `row` floats as fill half of a usual second-level cache, but at least 24, for which the other factor of a
/// product is read.
inline int64_t rows_at_once(int64_t row) {
  constexpr int64_t kCache = 65536;
  return std::clamp(kCache / std::max<int64_t>(row, 1) / kFewestRows * kFewestRows, 2 * kFewestRows, kMostRows);
}

/// A distance of at least `floats`, a multiple of 16, between rows of which the same columns are read one after the other: not
/// a multiple of 512 bytes, at which kMostRows rows would drive each other out of a cache of 64 sets and 8 ways.
inline int64_t spread(int64_t floats) { return floats % 128 == 0 ? floats + 16 : floats; }

}  // namespace residua::cpu
