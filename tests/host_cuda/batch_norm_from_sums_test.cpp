#include "cuda/kernels/batch_norm_from_sums.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/tensor/device_api.h"
#include "cuda/runtime/launch_options.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

TEST(BatchNormFromSums, GivesMeanVarianceAndItsRoot) {
  const Device device{Device::Type::cuda, 0};
  constexpr int64_t kRows = 1000;
  constexpr float kEpsilon = 1e-3f;
  Random random("from sums");
  for (const int64_t channels : {1, 31, 64, 1000}) {
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
    for (const int threads : {0, 32, 96, 1024}) {
      cuda::launch_options() = {.threads = threads, .max_blocks = threads == 0 ? 0 : 2};
      const Tensor got_mean = empty({channels}, DType::f32, device), got_variance = empty({channels}, DType::f32, device),
                   got_rstd = empty({channels}, DType::f32, device);
      run(cuda::BatchNormFromSums{kRows, channels, sum_tensor.data<float>(), squares_tensor.data<float>(), kEpsilon,
                                  got_mean.data<float>(), got_variance.data<float>(), got_rstd.data<float>()},
          cuda::current_stream(device));
      cuda::launch_options() = {};
      EXPECT_TRUE(close(got_mean, mean, 1e-6)) << channels << " channels, " << threads << " threads";
      EXPECT_TRUE(close(got_variance, variance, 1e-6)) << channels << " channels, " << threads << " threads";
      EXPECT_TRUE(close(got_rstd, rstd, 1e-6)) << channels << " channels, " << threads << " threads";
      for (const float v : got_variance.to_vector()) {
        EXPECT_GE(v, 0.0f);
      }
    }
  }
}

}  // namespace
}  // namespace residua::test
