#include "cuda/kernels/batch_norm_scale_bias.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/kernels/composed_convolution.h"
#include "tests/support/compare.h"
#include "tests/support/contract_check.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

void batch_norm_scale_bias_is_rounded_and_right_at_the_mean(Device device) {
  Random random("scale and bias");
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const int64_t channels : {1, 31, 64, 4099}) {
      HostArray gamma, beta, mean, rstd, scale, bias;
      for (int64_t c = 0; c < channels; ++c) {
        gamma.push_back(rounded(random.uniform(-2, 2), DType::f32));
        beta.push_back(rounded(random.uniform(-1, 1), DType::f32));
        mean.push_back(rounded(random.uniform(-5, 5), DType::f32));
        rstd.push_back(rounded(random.uniform(0.1, 3), DType::f32));
        scale.push_back(rounded(static_cast<float>(gamma.back()) * static_cast<float>(rstd.back()), dtype));
        bias.push_back(beta.back() - mean.back() * scale.back());
      }
      const auto on_device = [&](const HostArray& of) { return to_tensor(of, {channels}, DType::f32, device); };
      const Tensor tensors[] = {on_device(gamma), on_device(beta), on_device(mean), on_device(rstd)};
      const Tensor got_scale = empty({channels}, dtype, device), got_bias = empty({channels}, dtype, device);
      run_part(cuda::BatchNormScaleBias{.dtype = dtype,
                                        .channels = channels,
                                        .gamma = tensors[0].data<float>(),
                                        .beta = tensors[1].data<float>(),
                                        .mean = tensors[2].data<float>(),
                                        .rstd = tensors[3].data<float>(),
                                        .scale = got_scale.data(),
                                        .bias = got_bias.data()},
               cuda::current_stream(device));
      EXPECT_TRUE(close(got_scale, scale, 1e-7)) << name(dtype) << ", " << channels << " channels";
      const std::vector<float> got = got_bias.to_vector();
      for (size_t c = 0; c < got.size(); ++c) {
        // Rounded once from what fp32 makes of it: a bias of the scale before rounding would be further off.
        const double half = dtype == DType::f32 ? 0x1p-24 : dtype == DType::f16 ? 0x1p-11 : 0x1p-8;
        EXPECT_LE(std::fabs(static_cast<double>(got[c]) - bias[c]),
                  1.01 * half * std::fabs(bias[c]) + 1e-6 * (std::fabs(beta[c]) + std::fabs(mean[c] * scale[c])) + 1e-7)
            << name(dtype) << ", channel " << c << " of " << channels;
      }
    }
  }
}

const RegisterContractChecks kChecks({{"BatchNormScaleBiasIsRoundedAndRightAtTheMean",
                                       batch_norm_scale_bias_is_rounded_and_right_at_the_mean}});

}  // namespace
}  // namespace residua::test
