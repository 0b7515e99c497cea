// What cuBLASLt is told of a matmul, read as cuBLASLt reads it.
#include "cuda/libraries/matmul_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/random.h"

namespace residua::test {
namespace {

using namespace cuda;

using Numbers = std::vector<double>;

/// Element (row, column) of op(matrix) in column-major memory.
double element(const ColumnMajor::Matrix& matrix, const Numbers& data, int64_t row, int64_t column) {
  const int64_t i = matrix.transpose == Transpose::no ? row : column;
  const int64_t j = matrix.transpose == Transpose::no ? column : row;
  EXPECT_LT(i, matrix.rows);
  EXPECT_LT(j, matrix.columns);
  return data.at(static_cast<size_t>(j * matrix.rows + i));
}

TEST(MatmulKey, SwapsTheFactorsForColumnMajorMatrices) {
  Random random("column-major");
  const int64_t m = 3, n = 5, k = 4;
  for (const Transpose ta : {Transpose::no, Transpose::yes}) {
    for (const Transpose tb : {Transpose::no, Transpose::yes}) {
      Numbers a(static_cast<size_t>(m * k)), b(static_cast<size_t>(k * n));
      std::ranges::generate(a, [&] { return random.uniform(-1, 1); });
      std::ranges::generate(b, [&] { return random.uniform(-1, 1); });
      const ColumnMajor of = column_major({DType::f32, DType::f32, m, n, k, ta, tb, false, 256});
      ASSERT_EQ(of.result.rows, n) << "the bias has an element for each of these";
      ASSERT_EQ(of.result.columns, m);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double want = 0;
          double got = 0;
          for (int64_t l = 0; l < k; ++l) {
            want += a[static_cast<size_t>(ta == Transpose::no ? i * k + l : l * m + i)] *
                    b[static_cast<size_t>(tb == Transpose::no ? l * n + j : j * k + l)];
            got += element(of.first, b, j, l) * element(of.second, a, l, i);
          }
          // Column-major element (j, i) of the result is row-major element (i, j) of c.
          ASSERT_DOUBLE_EQ(got, want) << "transposed: " << (ta == Transpose::yes) << (tb == Transpose::yes);
        }
      }
    }
  }
}

TEST(MatmulKey, KnowsTheWorstAlignment) {
  alignas(256) static float memory[128];
  const auto alignment = [](const void* a, const void* b, void* c) {
    return key_of(Matmul{.dtype = DType::f32,
                         .c_dtype = DType::f32,
                         .m = 1,
                         .n = 1,
                         .k = 1,
                         .transpose_a = Transpose::no,
                         .transpose_b = Transpose::no,
                         .a = a,
                         .b = b,
                         .bias = nullptr,
                         .c = c})
        .alignment;
  };
  EXPECT_EQ(alignment(memory, memory, memory), 256);
  EXPECT_EQ(alignment(memory + 4, memory, memory), 16);
  EXPECT_EQ(alignment(memory, memory + 1, memory + 16), 4);
  EXPECT_EQ(alignment(memory, memory, memory + 2), 8);
}

TEST(MatmulKey, TellsMatmulsApart) {
  const MatmulKey key{.dtype = DType::f16,
                      .c_dtype = DType::f32,
                      .m = 8,
                      .n = 10,
                      .k = 64,
                      .transpose_a = Transpose::no,
                      .transpose_b = Transpose::yes,
                      .biased = true,
                      .alignment = 16};
  EXPECT_EQ(key.string(), "matmul f16 to f32 8x10x64 nt with bias, aligned to 16");
  MatmulKey other = key;
  EXPECT_FALSE(key < other || other < key);
  other.biased = false;
  EXPECT_TRUE(key < other || other < key);
}

}  // namespace
}  // namespace residua::test
