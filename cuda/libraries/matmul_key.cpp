#include "cuda/libraries/matmul_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace residua::cuda {
namespace {

auto values(const MatmulKey& k) {
  return std::tie(k.dtype, k.c_dtype, k.m, k.n, k.k, k.transpose_a, k.transpose_b, k.biased, k.alignment);
}

int64_t alignment_of(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  return address == 0 ? 256 : static_cast<int64_t>(std::min<uintptr_t>(address & (~address + 1), 256));
}

}  // namespace

std::string MatmulKey::string() const {
  return fmt::format("matmul {} to {} {}x{}x{} {}{}{}, aligned to {}", name(dtype), name(c_dtype), m, n, k,
                     transpose_a == Transpose::yes ? 't' : 'n', transpose_b == Transpose::yes ? 't' : 'n',
                     biased ? " with bias" : "", alignment);
}

bool operator<(const MatmulKey& a, const MatmulKey& b) { return values(a) < values(b); }

MatmulKey key_of(const Matmul& args) {
  return {args.dtype,
          args.c_dtype,
          args.m,
          args.n,
          args.k,
          args.transpose_a,
          args.transpose_b,
          args.bias != nullptr,
          std::min({alignment_of(args.a), alignment_of(args.b), alignment_of(args.c), alignment_of(args.bias)})};
}

ColumnMajor column_major(const MatmulKey& key) {
  const auto matrix = [](int64_t rows, int64_t columns, Transpose transpose) -> ColumnMajor::Matrix {
    return transpose == Transpose::no ? ColumnMajor::Matrix{columns, rows, transpose}
                                      : ColumnMajor::Matrix{rows, columns, transpose};
  };
  return {matrix(key.k, key.n, key.transpose_b), matrix(key.m, key.k, key.transpose_a), matrix(key.m, key.n, Transpose::no)};
}

}  // namespace residua::cuda
