#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/cpu/levels.h"
#include "tests/cpu/threads.h"
#include "tests/support/convolution_reference.h"
#include "tests/support/random.h"

/// Holds kernels of the three passes of a convolution to its definition in double precision, at every instruction set.
namespace residua::test {

/// Elements that start as NaN, between such that must stay NaN.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t size) : values_(static_cast<size_t>(size) + 2 * kGuard, from_float<T>(kNan)) {}
  T* data() { return values_.data() + kGuard; }
  double operator[](size_t i) const { return static_cast<double>(to_float(values_[kGuard + i])); }
  bool intact() const {
    for (size_t i = 0; i < kGuard; ++i) {
      if (!std::isnan(to_float(values_[i])) || !std::isnan(to_float(values_[values_.size() - 1 - i]))) {
        return false;
      }
    }
    return true;
  }

 private:
  static constexpr size_t kGuard = 16;
  static constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  std::vector<T> values_;
};

/// Holds `got` to `want` with an error below `roundings` of a sum of `terms` random terms in fp32, and one of the stored type.
template <class T>
void expect_near(const std::string& what, const Guarded<T>& got, const std::vector<double>& want, double roundings,
                 int64_t terms) {
  EXPECT_TRUE(got.intact()) << what << " is overrun";
  const double stored = dtype_of<T> == DType::f32 ? 0.0 : dtype_of<T> == DType::f16 ? 0x1p-11 : 0x1p-8;
  const double allowed = roundings * 0x1p-24 * std::sqrt(static_cast<double>(terms));
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_FALSE(std::isnan(got[i])) << what << " at " << i;
    ASSERT_NEAR(got[i], want[i], allowed + stored * std::fabs(want[i])) << what << " at " << i;
  }
}

/// Runs forward(level, x, w, y), backward_data(level, dy, w, dx) and backward_weights(level, x, dy, dw) on random tensors.
template <class T, class Forward, class BackwardData, class BackwardWeights>
void expect_convolution(const ConvolutionShape& s, double roundings, Random& random, const Forward& forward,
                        const BackwardData& backward_data, const BackwardWeights& backward_weights, bool with_dx = true) {
  const auto draw = [&](int64_t size) {
    std::vector<T> values(static_cast<size_t>(size));
    for (T& value : values) {
      value = from_float<T>(static_cast<float>(random.uniform(-1.0, 1.0)));
    }
    return values;
  };
  const int64_t taps = s.kernel_height * s.kernel_width, outputs = s.batch * s.out_height() * s.out_width();
  const std::vector<T> x = draw(s.batch * s.in_height * s.in_width * s.in_channels);
  const std::vector<T> w = draw(taps * s.in_channels * s.out_channels);
  const std::vector<T> dy = draw(outputs * s.out_channels);
  std::vector<double> y(dy.size()), dx(x.size()), dw(w.size());
  const auto value = [](const std::vector<T>& v, size_t i) { return static_cast<double>(to_float(v[i])); };
  for_each_product(s, [&](size_t i, size_t j, size_t o) {
    y[o] += value(x, i) * value(w, j);
    dx[i] += value(dy, o) * value(w, j);
    dw[j] += value(dy, o) * value(x, i);
  });
  for (const Isa level : levels()) {
    for (const int count : {1, 3}) {
      const Threads threads(count);
      const std::string at = fmt::format(", {}, {} threads, {}x{}x{}x{} to {}, {}x{}, stride {}, padding {},",
                                         level_name(level), count, s.batch, s.in_height, s.in_width, s.in_channels,
                                         s.out_channels, s.kernel_height, s.kernel_width, s.stride, s.padding);
      Guarded<T> got_y(static_cast<int64_t>(y.size())), got_dx(static_cast<int64_t>(dx.size()));
      Guarded<float> got_dw(static_cast<int64_t>(dw.size()));
      forward(level, x.data(), w.data(), got_y.data());
      if (with_dx) {
        backward_data(level, dy.data(), w.data(), got_dx.data());
      }
      backward_weights(level, x.data(), dy.data(), got_dw.data());
      expect_near("y" + at, got_y, y, roundings, taps * s.in_channels);
      if (with_dx) {
        expect_near("dx" + at, got_dx, dx, roundings, taps * s.out_channels);
      }
      expect_near("dw" + at, got_dw, dw, roundings, outputs);
    }
  }
}

}  // namespace residua::test
