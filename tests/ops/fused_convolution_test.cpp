// The fused forms of the convolution contracts against their definition in double precision.
#include <gtest/gtest.h>

#include <cmath>

#include "core/kernels/composed_convolution.h"
#include "core/kernels/run.h"
#include "tests/support/compare.h"
#include "tests/support/convolution_reference.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr float kEpsilon = 1e-3f;

/// A tensor on the device and what it holds.
struct Operand {
  HostArray host;
  Tensor tensor;
};

struct Fixture {
  ConvolutionShape shape;
  DType dtype;
  Device device;
  Random random;

  Shape x_shape() const { return {shape.batch, shape.in_height, shape.in_width, shape.in_channels}; }
  Shape y_shape() const { return {shape.batch, shape.out_height(), shape.out_width(), shape.out_channels}; }
  Shape w_shape() const { return {shape.out_channels, shape.kernel_height, shape.kernel_width, shape.in_channels}; }

  Operand draw(const Shape& size, DType type, double low, double high) {
    HostArray host(static_cast<size_t>(size.size()));
    for (double& v : host) {
      v = rounded(random.uniform(low, high), type);
    }
    return {host, to_tensor(host, size, type, device)};
  }
  Operand draw(const Shape& size) { return draw(size, dtype, -1, 1); }
  Operand per_channel(double low, double high) { return draw({shape.in_channels}, DType::f32, low, high); }

  Tensor fresh(const Shape& size, DType type) const { return full(size, std::nanf(""), type, device); }
};

/// Parameters of a batch normalization of x.
struct Norm {
  Operand gamma, beta, mean, rstd;

  explicit Norm(Fixture& f)
      : gamma(f.per_channel(-1.5, 1.5)),
        beta(f.per_channel(0.1, 0.5)),
        mean(f.per_channel(-0.2, 0.2)),
        rstd(f.per_channel(1, 2)) {}

  InputActivation activation() const {
    return {.gamma = gamma.tensor.data<float>(),
            .beta = beta.tensor.data<float>(),
            .mean = mean.tensor.data<float>(),
            .rstd = rstd.tensor.data<float>()};
  }
  double normalized(const HostArray& x, size_t i) const {
    const size_t c = i % gamma.host.size();
    return gamma.host[c] * (x[i] - mean.host[c]) * rstd.host[c] + beta.host[c];
  }
  /// An x that the ReLU's kink is not close to: a device may round the scale to the type of x.
  Operand input(Fixture& f) const {
    constexpr double kAway = 1e-2;
    Operand x = f.draw(f.x_shape());
    for (size_t i = 0; i < x.host.size(); ++i) {
      while (std::fabs(normalized(x.host, i)) < kAway) {
        x.host[i] = rounded(f.random.uniform(-1, 1), f.dtype);
      }
    }
    x.tensor = to_tensor(x.host, f.x_shape(), f.dtype, f.device);
    return x;
  }
  /// Its ReLU, as stored.
  HostArray activated(const HostArray& x, DType dtype) const {
    HostArray out(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      out[i] = rounded(std::max(normalized(x, i), 0.0), dtype);
    }
    return out;
  }
};

/// Calls body(fixture) for shapes with and without stride, padding and even channel counts, in each type, on each device.
template <class Body>
void for_each_fixture(const Body& body) {
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (const ConvolutionShape& shape : {ConvolutionShape{.batch = 2,
                                           .in_height = 6,
                                           .in_width = 5,
                                           .in_channels = 3,
                                           .out_channels = 7,
                                           .kernel_height = 3,
                                           .kernel_width = 3,
                                           .stride = 1,
                                           .padding = 1},
                                            ConvolutionShape{.batch = 3,
                                            .in_height = 7,
                                            .in_width = 8,
                                            .in_channels = 16,
                                            .out_channels = 8,
                                            .kernel_height = 3,
                                            .kernel_width = 3,
                                            .stride = 2,
                                            .padding = 1},
                                            ConvolutionShape{.batch = 2,
                                            .in_height = 6,
                                            .in_width = 6,
                                            .in_channels = 17,
                                            .out_channels = 5,
                                            .kernel_height = 1,
                                            .kernel_width = 1,
                                            .stride = 2,
                                            .padding = 0},
                                            ConvolutionShape{.batch = 1,
                                            .in_height = 8,
                                            .in_width = 8,
                                            .in_channels = 64,
                                            .out_channels = 32,
                                            .kernel_height = 3,
                                            .kernel_width = 3,
                                            .stride = 1,
                                            .padding = 1}}) {
        const std::string what =
            fmt::format("{} {}, {} to {} channels, {}x{}, stride {}", device.string(), name(dtype), shape.in_channels,
                        shape.out_channels, shape.kernel_height, shape.kernel_width, shape.stride);
        SCOPED_TRACE(what);
        Fixture fixture{shape, dtype, device, Random(what)};
        body(fixture);
      }
    }
  }
}

TEST(FusedConvolution, ForwardReadsAnActivatedInputAndGivesStatistics) {
  for_each_fixture([](Fixture& f) {
    const ConvolutionShape& s = f.shape;
    const Operand x = f.draw(f.x_shape()), w = f.draw(f.w_shape());
    const Norm norm(f);
    const InputActivation activation = norm.activation();
    const HostArray read = norm.activated(x.host, f.dtype);
    HostArray y(static_cast<size_t>(f.y_shape().size()));
    for_each_product(s, [&](size_t i, size_t j, size_t o) { y[o] += read[i] * w.host[j]; });
    const size_t channels = static_cast<size_t>(s.out_channels);
    const double rows = static_cast<double>(y.size() / channels);
    HostArray mean(channels), variance(channels), rstd(channels);
    for (size_t i = 0; i < y.size(); ++i) {
      mean[i % channels] += y[i] / rows;
    }
    for (size_t i = 0; i < y.size(); ++i) {
      variance[i % channels] += (y[i] - mean[i % channels]) * (y[i] - mean[i % channels]) / rows;
    }
    for (size_t c = 0; c < channels; ++c) {
      rstd[c] = 1 / std::sqrt(variance[c] + static_cast<double>(kEpsilon));
    }
    const double tolerance = 4 * type_tolerance(f.dtype);

    const Tensor out = f.fresh(f.y_shape(), f.dtype);
    run(f.device, ConvolutionForward{.dtype = f.dtype,
                                     .shape = s,
                                     .x = x.tensor.data(),
                                     .w = w.tensor.data(),
                                     .y = out.data(),
                                     .activation = activation,
                                     .statistics = kNoOutputStatistics});
    EXPECT_TRUE(close(out, y, tolerance));

    const Tensor again = f.fresh(f.y_shape(), f.dtype);
    const Tensor got_mean = f.fresh({s.out_channels}, DType::f32), got_variance = f.fresh({s.out_channels}, DType::f32),
                 got_rstd = f.fresh({s.out_channels}, DType::f32);
    run(f.device, ConvolutionForward{.dtype = f.dtype,
                                     .shape = s,
                                     .x = x.tensor.data(),
                                     .w = w.tensor.data(),
                                     .y = again.data(),
                                     .activation = activation,
                                     .statistics = {.epsilon = kEpsilon,
                                                    .mean = got_mean.data<float>(),
                                                    .variance = got_variance.data<float>(),
                                                    .rstd = got_rstd.data<float>()}});
    EXPECT_TRUE(close(again, y, tolerance));
    EXPECT_TRUE(close(got_mean, mean, tolerance, 1));
    EXPECT_TRUE(close(got_variance, variance, tolerance, 1));
    EXPECT_TRUE(close(got_rstd, rstd, tolerance));
  });
}

TEST(FusedConvolution, BackwardDataGivesTheSumsOfBatchNormalization) {
  for_each_fixture([](Fixture& f) {
    const ConvolutionShape& s = f.shape;
    const Operand dy = f.draw(f.y_shape()), w = f.draw(f.w_shape());
    const Norm norm(f);
    const Operand x = norm.input(f);
    const size_t channels = static_cast<size_t>(s.in_channels);
    std::vector<uint8_t> mask((x.host.size() + 7) / 8, 0);
    std::vector<bool> set(x.host.size());
    for (size_t i = 0; i < x.host.size(); ++i) {
      set[i] = norm.normalized(x.host, i) > 0;
      mask[i / 8] = static_cast<uint8_t>(mask[i / 8] | (set[i] ? 1U << (i % 8) : 0U));
    }
    const Tensor mask_tensor = empty({static_cast<int64_t>(mask.size())}, DType::u8, f.device);
    device_api::copy(f.device, mask_tensor.data(), Device{}, mask.data(), static_cast<int64_t>(mask.size()));

    HostArray dx(x.host.size());
    for_each_product(s, [&](size_t i, size_t j, size_t o) { dx[i] += dy.host[o] * w.host[j]; });
    HostArray sum_g(channels), sum_g_xhat(channels);
    for (size_t i = 0; i < dx.size(); ++i) {
      const size_t c = i % channels;
      dx[i] = set[i] ? dx[i] : 0.0;
      sum_g[c] += dx[i];
      sum_g_xhat[c] += dx[i] * (x.host[i] - norm.mean.host[c]) * norm.rstd.host[c];
    }

    const InputActivation of = norm.activation();
    for (const uint8_t* bits : {mask_tensor.data<uint8_t>(), static_cast<uint8_t*>(nullptr)}) {
      SCOPED_TRACE(bits != nullptr ? "with a mask" : "without a mask");
      const Tensor out = f.fresh(f.x_shape(), f.dtype);
      const Tensor got_g = f.fresh({s.in_channels}, DType::f32), got_xhat = f.fresh({s.in_channels}, DType::f32);
      run(f.device, ConvolutionBackwardData{.dtype = f.dtype,
                                            .shape = s,
                                            .dy = dy.tensor.data(),
                                            .w = w.tensor.data(),
                                            .dx = out.data(),
                                            .sums = {.x = x.tensor.data(),
                                                     .mask = bits,
                                                     .gamma = of.gamma,
                                                     .beta = of.beta,
                                                     .mean = of.mean,
                                                     .rstd = of.rstd,
                                                     .sum_g = got_g.data<float>(),
                                                     .sum_g_xhat = got_xhat.data<float>()}});
      std::vector<float> got = out.to_vector();
      for (size_t i = 0; i < got.size(); ++i) {
        got[i] = set[i] || bits == nullptr ? got[i] : 0.0f;
      }
      const double tolerance = 8 * type_tolerance(f.dtype);
      EXPECT_TRUE(close(got, dx, tolerance));
      EXPECT_TRUE(close(got_g, sum_g, tolerance, 1));
      EXPECT_TRUE(close(got_xhat, sum_g_xhat, tolerance, 1));
    }
  });
}

TEST(FusedConvolution, BackwardWeightsReadsAnActivatedInput) {
  for_each_fixture([](Fixture& f) {
    const ConvolutionShape& s = f.shape;
    const Operand x = f.draw(f.x_shape()), dy = f.draw(f.y_shape());
    const Norm norm(f);
    const HostArray read = norm.activated(x.host, f.dtype);
    HostArray dw(static_cast<size_t>(f.w_shape().size()));
    for_each_product(s, [&](size_t i, size_t j, size_t o) { dw[j] += dy.host[o] * read[i]; });
    for (const DType dw_dtype : {f.dtype, DType::f32}) {
      const Tensor out = f.fresh(f.w_shape(), dw_dtype);
      run(f.device, ConvolutionBackwardWeights{.dtype = f.dtype,
                                               .dw_dtype = dw_dtype,
                                               .shape = s,
                                               .x = x.tensor.data(),
                                               .dy = dy.tensor.data(),
                                               .dw = out.data(),
                                               .activation = norm.activation()});
      EXPECT_TRUE(close(out, dw, 8 * type_tolerance(f.dtype))) << "dw in " << name(dw_dtype);
    }
  });
}

TEST(FusedConvolution, IsProfiledByItsPartsOnTheCpu) {
  const ConvolutionShape shape{.batch = 2,
                               .in_height = 16,
                               .in_width = 16,
                               .in_channels = 16,
                               .out_channels = 16,
                               .kernel_height = 3,
                               .kernel_width = 3,
                               .stride = 1,
                               .padding = 1};
  const Tensor x = zeros({2, 16, 16, 16}, DType::f32), w = zeros({16, 3, 3, 16}, DType::f32), y = empty_like(x);
  const Tensor statistics = empty({3, 16}, DType::f32);
  auto* mean = statistics.data<float>();
  const profile::Recorder recorder;
  const auto start = std::chrono::steady_clock::now();
  run(Device{},
      ConvolutionForward{.dtype = DType::f32,
                         .shape = shape,
                         .x = x.data(),
                         .w = w.data(),
                         .y = y.data(),
                         .activation = kNoInputActivation,
                         .statistics = {.epsilon = kEpsilon, .mean = mean, .variance = mean + 16, .rstd = mean + 32}});
  const double all = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  double sum = 0;
  for (const auto& [key, entry] : recorder.entries()) {
    EXPECT_EQ(entry.calls, 1) << key.second;
    EXPECT_GT(entry.seconds, 0) << key.second;
    sum += entry.seconds;
  }
  EXPECT_TRUE(recorder.entries().contains({"", "ConvolutionForward"}));
  EXPECT_TRUE(recorder.entries().contains({"", "BatchNormStatistics"}));
  EXPECT_LE(sum, all) << "no time is counted twice";
}

}  // namespace
}  // namespace residua::test
