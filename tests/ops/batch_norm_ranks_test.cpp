// The kernels that join the statistics and the sums of ranks, called directly.
#include "core/kernels/batch_norm_ranks.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/kernels/run.h"
#include "tests/support/compare.h"
#include "tests/support/contract_check.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr float kEpsilon = 1e-5f;

/// Statistics of ranks, in the order of the contract.
struct Parts {
  int64_t ranks, channels;
  std::vector<float> values;

  float& at(int64_t rank, int64_t i) { return values[static_cast<size_t>(rank * (2 * channels + 1) + i)]; }
  float& mean(int64_t rank, int64_t c) { return at(rank, c); }
  float& variance(int64_t rank, int64_t c) { return at(rank, channels + c); }
  float& rows(int64_t rank) { return at(rank, 2 * channels); }
};

/// Means of `center` +- 1, variances up to `most`, and rows that no two ranks share.
Parts draw_parts(Random& random, int64_t ranks, int64_t channels, double center, double most) {
  Parts parts{ranks, channels, std::vector<float>(static_cast<size_t>(ranks * (2 * channels + 1)))};
  for (int64_t r = 0; r < ranks; ++r) {
    for (int64_t c = 0; c < channels; ++c) {
      parts.mean(r, c) = static_cast<float>(center + random.uniform(-1, 1));
      parts.variance(r, c) = static_cast<float>(random.uniform(0, most));
    }
    parts.rows(r) = static_cast<float>(1 + (ranks - r) * (ranks - r) * 7);
  }
  return parts;
}

struct Combined {
  Tensor mean, variance, rstd, bessel_correction, share;
};

Combined combine(const Parts& parts, int64_t rank, Device device) {
  const auto memory = [&](int64_t size) { return full({size}, std::nanf(""), DType::f32, device); };
  const Combined c{memory(parts.channels), memory(parts.channels), memory(parts.channels), memory(parts.channels), memory(1)};
  const Tensor values = from_values({static_cast<int64_t>(parts.values.size())}, parts.values, DType::f32, device);
  run(device, BatchNormCombine{.ranks = parts.ranks,
                               .channels = parts.channels,
                               .rank = rank,
                               .parts = values.data<float>(),
                               .epsilon = kEpsilon,
                               .mean = c.mean.data<float>(),
                               .variance = c.variance.data<float>(),
                               .rstd = c.rstd.data<float>(),
                               .bessel_correction = c.bessel_correction.data<float>(),
                               .share = c.share.data<float>()});
  return c;
}

/// The definition: the mean and the mean squared difference from it, over the rows of all ranks.
void expect_definition(Parts parts, Device device) {
  double n = 0;
  for (int64_t r = 0; r < parts.ranks; ++r) {
    n += static_cast<double>(parts.rows(r));
  }
  HostArray mean, variance, rstd;
  for (int64_t c = 0; c < parts.channels; ++c) {
    double m = 0;
    for (int64_t r = 0; r < parts.ranks; ++r) {
      m += static_cast<double>(parts.rows(r)) * static_cast<double>(parts.mean(r, c)) / n;
    }
    double v = 0;
    for (int64_t r = 0; r < parts.ranks; ++r) {
      const double d = static_cast<double>(parts.mean(r, c)) - m;
      v += static_cast<double>(parts.rows(r)) * (static_cast<double>(parts.variance(r, c)) + d * d) / n;
    }
    mean.push_back(m);
    variance.push_back(v);
    rstd.push_back(1 / std::sqrt(v + static_cast<double>(kEpsilon)));
  }
  const Combined first = combine(parts, 0, device);
  EXPECT_TRUE(close(first.mean, mean, 2e-7));
  EXPECT_TRUE(close(first.variance, variance, 2e-7));
  EXPECT_TRUE(close(first.rstd, rstd, 2e-7));
  EXPECT_TRUE(close(first.bessel_correction, HostArray(mean.size(), n / (n - 1)), 1e-7));
  for (int64_t r = 0; r < parts.ranks; ++r) {
    const Combined other = combine(parts, r, device);
    EXPECT_TRUE(same_bits(other.mean, first.mean));
    EXPECT_TRUE(same_bits(other.variance, first.variance));
    EXPECT_TRUE(same_bits(other.rstd, first.rstd));
    EXPECT_TRUE(close(other.share, HostArray{static_cast<double>(parts.rows(r)) / n}, 1e-7));
  }
}

void ranks_combine_by_their_definition(Device device) {
  Random random("ranks");
  for (const int64_t channels : {1, 7, 31, 515}) {
    for (const int64_t ranks : {1, 2, 3, 8}) {
      SCOPED_TRACE(fmt::format("{} channels, {} ranks", channels, ranks));
      expect_definition(draw_parts(random, ranks, channels, 0, 2), device);
    }
  }
}

// Sums of squares would cancel here, even in fp64: 1e12 has the spacing of 1e-4.
void ranks_combine_far_from_zero(Device device) {
  Random random("far");
  for (const int64_t ranks : {2, 3, 5}) {
    Parts parts = draw_parts(random, ranks, 7, 1e6, 1e-4);
    for (int64_t r = 0; r < ranks; ++r) {
      for (int64_t c = 0; c < 6; ++c) {
        parts.mean(r, c) = 1e6f;
      }
    }
    expect_definition(parts, device);
  }
}

void ranks_hide_no_nan(Device device) {
  Random random("nan");
  for (const int64_t bad : {0, 1, 2}) {
    for (const float value : {std::nanf(""), INFINITY}) {
      Parts parts = draw_parts(random, 3, 3, 0, 1);
      parts.mean(bad, 0) = value;
      parts.variance(bad, 2) = value;
      const Combined c = combine(parts, 1, device);
      for (const Tensor& statistic : {c.mean, c.variance}) {
        EXPECT_FALSE(std::isfinite(statistic.to_vector().at(0))) << value << " in the mean of rank " << bad;
        EXPECT_TRUE(std::isfinite(statistic.to_vector().at(1))) << "the channel beside them";
      }
      EXPECT_FALSE(std::isfinite(c.variance.to_vector().at(2))) << value << " in the variance of rank " << bad;
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(c.rstd.to_vector().at(0)));
        EXPECT_TRUE(std::isnan(c.rstd.to_vector().at(2)));
      }
    }
  }
}

void ranks_share_their_sums(Device device) {
  Random random("sums");
  for (const int64_t size : {1, 31, 2051}) {
    HostArray sums(static_cast<size_t>(size));
    uniform(-9, 9)(random, sums);
    const Tensor x = to_tensor(sums, {size}, DType::f32, device);
    const Tensor share = full({1}, 0.375f, DType::f32, device);
    run(device, BatchNormShareSums{.size = size, .share = share.data<float>(), .sums = x.data<float>()});
    for (double& sum : sums) {
      sum *= 0.375;
    }
    EXPECT_TRUE(close(x, sums, 1e-7));
  }
}

const RegisterContractChecks kChecks({
    {"RanksCombineByTheirDefinition", ranks_combine_by_their_definition},
    {"RanksCombineFarFromZero", ranks_combine_far_from_zero},
    {"RanksHideNoNan", ranks_hide_no_nan},
    {"RanksShareTheirSums", ranks_share_their_sums},
});

TEST(BatchNormCombine, NeedsNoMemoryForTheCorrection) {
  for (const Device device : test_devices()) {
    const Tensor parts = from_values({2, 3}, std::vector<float>{1, 0, 1, 4, 0, 2}, DType::f32, device);
    const Tensor out = full({4}, std::nanf(""), DType::f32, device);
    float* to = out.data<float>();
    run(device, BatchNormCombine{.ranks = 2,
                                 .channels = 1,
                                 .rank = 1,
                                 .parts = parts.data<float>(),
                                 .epsilon = 0.25f,
                                 .mean = to,
                                 .variance = to + 1,
                                 .rstd = to + 2,
                                 .bessel_correction = nullptr,
                                 .share = to + 3});
    EXPECT_TRUE(close(out, HostArray{3, 2, 1 / 1.5, 2.0 / 3}, 1e-7));
  }
}

}  // namespace
}  // namespace residua::test
