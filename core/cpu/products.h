#pragma once

#include "core/cpu/vec.h"

/// Parts of a matrix product that stay in registers. For files in core/cpu/isa.
namespace residua::cpu::RESIDUA_ISA {
namespace {

constexpr int64_t kPanel = 16;  // columns of a part
constexpr int kVectors = kPanel / kLanes;
constexpr int kRows = 12 / kVectors;  // of a part: twelve sums, and as many FMAs in flight

/// Rows x 16 sums.
template <int Rows>
struct Sums {
  Floats sums[Rows][kVectors] = {};

  /// Adds the product of a column, left(0) to left(Rows - 1), and a row.
  template <class Left, class T>
  RESIDUA_INLINE void add(const Left& left, const T* right) {
    Floats row[kVectors];
#pragma GCC unroll 2
    for (int n = 0; n < kVectors; ++n) {
      row[n] = load(right + n * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Floats factor = broadcast(left(i));
#pragma GCC unroll 2
      for (int n = 0; n < kVectors; ++n) {
        sums[i][n] += factor * row[n];
      }
    }
  }
  /// Calls f(sum, row, column) for each vector of sums.
  template <class F>
  RESIDUA_INLINE void each(const F& f) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
      for (int n = 0; n < kVectors; ++n) {
        f(sums[i][n], i, n * kLanes);
      }
    }
  }
};

/// c [rows, 16] = a [rows, depth] * b [depth, 16], where rows is a multiple of kRows.
[[gnu::noinline]] void multiply(int64_t rows, int64_t depth, const float* a, int64_t a_stride, const float* b, float* c,
                                int64_t c_stride) {
  for (int64_t row = 0; row < rows; row += kRows) {
    Sums<kRows> part;
    for (int64_t d = 0; d < depth; ++d) {
      part.add([=](int i) { return a[(row + i) * a_stride + d]; }, b + d * kPanel);
    }
    part.each([=](Floats sum, int i, int64_t column) { store(c + (row + i) * c_stride + column, sum); });
  }
}

template <int Rows>
RESIDUA_INLINE void add_part(int64_t depth, const float* a, int64_t a_stride, const float* b, int64_t b_stride, float* c,
                             int64_t c_stride, bool overwrite) {
  Sums<Rows> part;
  if (!overwrite) {
    part.each([=](Floats& sum, int i, int64_t column) { sum = load(c + i * c_stride + column); });
    for (int i = Rows; i < 2 * Rows; ++i) {
      __builtin_prefetch(c + i * c_stride, 1);
    }
  }
  for (int64_t d = 0; d < depth; ++d) {
    part.add([=](int i) { return a[d * a_stride + i]; }, b + d * b_stride);
  }
  part.each([=](Floats sum, int i, int64_t column) { store(c + i * c_stride + column, sum); });
}

constexpr int64_t kChunk = 64;  // rows of a^T that stay in a cache while the columns of b pass

/// c [rows, columns] += a^T [rows, depth] * b [depth, columns], or = if `overwrite`. rows and columns are multiples of 16.
[[gnu::noinline]] void add_transposed(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_stride,
                                      const float* b, int64_t b_stride, float* c, int64_t c_stride, bool overwrite) {
  constexpr int kLast = 16 % kRows;  // 16 = 6 + 6 + 4 = 12 + 4
  for (int64_t column = 0; column < columns; column += kPanel) {
    for (int64_t row = 0; row < rows; row += 16) {
      int64_t i = row;
      for (; i + kRows <= row + 16; i += kRows) {
        add_part<kRows>(depth, a + i, a_stride, b + column, b_stride, c + i * c_stride + column, c_stride, overwrite);
      }
      add_part<kLast>(depth, a + i, a_stride, b + column, b_stride, c + i * c_stride + column, c_stride, overwrite);
    }
  }
}

}  // namespace
}  // namespace residua::cpu::RESIDUA_ISA
