#include "cuda/kernels/batch_norm_from_sums.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/kernels/composed_convolution.h"
#include "tests/support/compare.h"
#include "tests/support/contract_check.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

void batch_norm_from_sums_gives_mean_variance_and_its_root(Device device) {
  constexpr int64_t kRows = 1000;
  constexpr float kEpsilon = 1e-3f;
  Random random("from sums");
  for (const int64_t channels : {1, 31, 64, 4099}) {
    HostArray sum, squares, mean, variance, rstd;
    for (int64_t c = 0; c < channels; ++c) {
      const double m = random.uniform(-2, 2);
      const double v = c % 3 == 0 ? 0.0 : random.uniform(0.1, 3);
      sum.push_back(rounded(m * kRows, DType::f32));
      squares.push_back(rounded((v + m * m) * kRows, DType::f32));
      mean.push_back(sum.back() / kRows);
      variance.push_back(std::max(squares.back() / kRows - mean.back() * mean.back(), 0.0));
      rstd.push_back(1 / std::sqrt(variance.back() + static_cast<double>(kEpsilon)));
    }
    const Tensor sum_tensor = to_tensor(sum, {channels}, DType::f32, device);
    const Tensor squares_tensor = to_tensor(squares, {channels}, DType::f32, device);
    const Tensor got_mean = empty({channels}, DType::f32, device), got_variance = empty({channels}, DType::f32, device),
                 got_rstd = empty({channels}, DType::f32, device);
    run_part(cuda::BatchNormFromSums{.rows = kRows,
                                     .channels = channels,
                                     .sum = sum_tensor.data<float>(),
                                     .sum_of_squares = squares_tensor.data<float>(),
                                     .epsilon = kEpsilon,
                                     .mean = got_mean.data<float>(),
                                     .variance = got_variance.data<float>(),
                                     .rstd = got_rstd.data<float>()},
             cuda::current_stream(device));
    EXPECT_TRUE(close(got_mean, mean, 1e-6)) << channels << " channels";
    EXPECT_TRUE(close(got_variance, variance, 1e-6)) << channels << " channels";
    EXPECT_TRUE(close(got_rstd, rstd, 1e-6)) << channels << " channels";
    for (const float v : got_variance.to_vector()) {
      EXPECT_GE(v, 0.0f);
    }
  }
}

const RegisterContractChecks kChecks({{"BatchNormFromSumsGivesMeanVarianceAndItsRoot",
                                       batch_norm_from_sums_gives_mean_variance_and_its_root}});

}  // namespace
}  // namespace residua::test
