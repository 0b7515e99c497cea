#pragma once

#include <cstdint>
#include <string>

#include "core/kernels/matmul.h"

namespace residua::cuda {

/// The properties that a matmul's plan depends on.
struct MatmulKey {
  DType dtype, c_dtype;
  int64_t m, n, k;
  Transpose transpose_a, transpose_b;
  bool biased;
  int64_t alignment;  // bytes; the smallest alignment of a, b, c and bias, at most 256

  std::string string() const;
};
bool operator<(const MatmulKey& a, const MatmulKey& b);
MatmulKey key_of(const Matmul& args);

/// cuBLASLt's matrices are column-major. A row-major matrix is the transpose of the column-major matrix in the same memory. So
/// c^T = op(b)^T op(a)^T needs no copy: `first` is b, `second` is a, `result` is c.
struct ColumnMajor {
  struct Matrix {
    int64_t rows, columns;  // the leading dimension is `rows`
    Transpose transpose;
  };
  Matrix first, second, result;
};
ColumnMajor column_major(const MatmulKey& key);

}  // namespace residua::cuda
