#include "core/ops/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/autograd/tape.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/run.h"
#include "core/ops/add.h"
#include "core/ops/relu.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

struct Inputs {
  Tensor x, gamma, beta, residual;

  BatchNormTensors parameters() const {
    return {.gamma = gamma,
            .beta = beta,
            .running_mean = {},
            .running_var = {},
            .batch_mean = {},
            .batch_var = {},
            .batch_rstd = {}};
  }
};

Tensor leaf(Shape shape, DType dtype, Random& random, const Values& values) {
  HostArray host(static_cast<size_t>(shape.size()));
  values(random, host);
  Tensor t = to_tensor(host, shape, dtype, {});
  t.set_requires_grad(true);
  return t;
}

Inputs draw(Shape shape, DType dtype, std::string_view seed_name) {
  Random random(seed_name);
  const Shape channels{shape.dim(-1)};
  return {leaf(shape, dtype, random, uniform(-1, 1)), leaf(channels, DType::f32, random, uniform(0.5, 1.5)),
          leaf(channels, DType::f32, random, uniform(-0.5, 0.5)), leaf(shape, dtype, random, uniform(-1, 1))};
}

std::vector<double> doubles(const Tensor& t) {
  const std::vector<float> v = t.to_vector();
  return {v.begin(), v.end()};
}

/// A fused operation is the composition of the simple ones, in value and in all gradients. In f32 only rounding may differ.
void expect_composition(const std::function<Tensor(const Inputs&)>& fused,
                        const std::function<Tensor(const Inputs&)>& composed) {
  Random random("projection");
  for (const Shape& shape : {Shape{2, 3, 5, 7}, Shape{4, 5, 3, 64}}) {
    Inputs a = draw(shape, DType::f32, "fused");
    Inputs b = draw(shape, DType::f32, "fused");
    const Tensor projection = to_tensor(draw_projection(shape.size(), DType::f32, random), shape, DType::f32, {});
    const Tensor y = fused(a);
    const Tensor z = composed(b);
    EXPECT_TRUE(close(y, doubles(z), 1e-6));
    backward(projected(y, projection));
    backward(projected(z, projection));
    EXPECT_TRUE(close(a.x.grad(), doubles(b.x.grad()), 1e-5));
    EXPECT_TRUE(close(a.gamma.grad(), doubles(b.gamma.grad()), 1e-5));
    EXPECT_TRUE(close(a.beta.grad(), doubles(b.beta.grad()), 1e-5));
    ASSERT_EQ(a.residual.grad().defined(), b.residual.grad().defined());
    if (a.residual.grad().defined()) {
      EXPECT_TRUE(close(a.residual.grad(), doubles(b.residual.grad()), 1e-6));
    }
  }
}

TEST(BatchNorm, WithReluIsTheComposition) {
  expect_composition([](const Inputs& in) { return batch_norm_relu(in.x, in.parameters(), Mode::train); },
                     [](const Inputs& in) { return relu(batch_norm(in.x, in.parameters(), Mode::train)); });
}

TEST(BatchNorm, WithAddAndReluIsTheComposition) {
  expect_composition([](const Inputs& in) { return batch_norm_add_relu(in.x, in.residual, in.parameters(), Mode::train); },
                     [](const Inputs& in) { return relu(add(batch_norm(in.x, in.parameters(), Mode::train), in.residual)); });
}

TEST(BatchNorm, AddsUpTheGradientsOfTwoReaders) {
  // As after a residual block: the shortcut and the next convolution. In the composition the tape adds.
  const auto read_twice = [](const Tensor& y, const Inputs& in) {
    return add(y, batch_norm_relu(y, in.parameters(), Mode::train));
  };
  expect_composition(
      [&](const Inputs& in) { return read_twice(batch_norm_add_relu(in.x, in.residual, in.parameters(), Mode::train), in); },
      [&](const Inputs& in) { return read_twice(relu(add(batch_norm(in.x, in.parameters(), Mode::train), in.residual)), in); });
}

TEST(BatchNorm, SumsOfAGradientInTwoTermsAreThoseOfWhatItStores) {
  Random random("two terms");
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const auto& [rows, channels] : {std::pair<int64_t, int64_t>{1, 1}, {7, 3}, {77, 16}, {61, 24}, {1500, 64}}) {
        for (const bool masked : {false, true}) {
          for (const int64_t offset : {0, 1}) {
            SCOPED_TRACE(
                fmt::format("{} {} {}x{}, mask {}, offset {}", device.string(), name(dtype), rows, channels, masked, offset));
            const int64_t size = rows * channels;
            const auto drawn = [&](int64_t count, DType type, const Values& values) {
              HostArray host(static_cast<size_t>(count));
              values(random, host);
              const Tensor t = empty({count + offset}, type, device).slice(offset, {count});
              t.copy_from(to_tensor(host, {count}, type, {}));
              return t;
            };
            const Tensor x = drawn(size, dtype, uniform(-1, 1));
            const Tensor dy = drawn(size, dtype, uniform(-1, 1));
            const Tensor more = drawn(size, dtype, uniform(-1, 1));
            const Tensor mask =
                from_values({(size + 7) / 8}, std::vector<float>(static_cast<size_t>(size + 7) / 8, 0xa6), DType::u8, device);
            const Tensor mean = drawn(channels, DType::f32, uniform(-1, 1));
            const Tensor rstd = drawn(channels, DType::f32, uniform(0.5, 2));
            std::vector<double> g(static_cast<size_t>(size)), sums[2];
            for (std::vector<double>& sum : sums) {
              sum.resize(static_cast<size_t>(channels));
            }
            const std::vector<double> in[] = {doubles(x), doubles(dy), doubles(more), doubles(mean), doubles(rstd)};
            for (size_t i = 0; i < g.size(); ++i) {
              const size_t c = i % static_cast<size_t>(channels);
              g[i] = !masked || (0xa6 >> i % 8 & 1) != 0 ? rounded(in[1][i] + in[2][i], dtype) : 0.0;
              sums[0][c] += g[i];
              sums[1][c] += g[i] * (in[0][i] - in[3][c]) * in[4][c];
            }
            // Into memory of its own, then over one of the terms.
            for (const Tensor& out : {drawn(size, dtype, uniform(7, 8)), dy.clone(), more.clone()}) {
              const bool over_dy = out.to_vector() == dy.to_vector();
              const bool over_more = out.to_vector() == more.to_vector();
              const Tensor sum_g = empty({channels}, DType::f32, device);
              const Tensor sum_g_xhat = empty({channels}, DType::f32, device);
              run(device, BatchNormBackwardReduce{.dtype = dtype,
                                                  .rows = rows,
                                                  .group_rows = rows,
                                                  .channels = channels,
                                                  .x = x.data(),
                                                  .dy = over_dy ? out.data() : dy.data(),
                                                  .more = over_more ? out.data() : more.data(),
                                                  .mask = masked ? mask.data<uint8_t>() : nullptr,
                                                  .mean = mean.data<float>(),
                                                  .rstd = rstd.data<float>(),
                                                  .sum_g = sum_g.data<float>(),
                                                  .sum_g_xhat = sum_g_xhat.data<float>(),
                                                  .g = out.data()});
              EXPECT_TRUE(close(out, g, 0.0));
              EXPECT_TRUE(close(sum_g, sums[0], 1e-5, std::sqrt(static_cast<double>(rows))));
              EXPECT_TRUE(close(sum_g_xhat, sums[1], 1e-5, std::sqrt(static_cast<double>(rows))));
            }
          }
        }
      }
    }
  }
}

TEST(BatchNorm, GradientsIn16BitsAreThoseOfF32) {
  const Shape shape{3, 5, 4, 24};
  Random random("projection");
  const HostArray projection = draw_projection(shape.size(), DType::bf16, random);
  for (const DType dtype : {DType::bf16, DType::f16}) {
    Inputs half = draw(shape, dtype, "half");
    Inputs full = draw(shape, DType::f32, "half");
    for (Tensor Inputs::*member : {&Inputs::x, &Inputs::residual}) {
      (full.*member).copy_from((half.*member).to_vector());
    }
    for (const Inputs* in : {&half, &full}) {
      const Tensor y = batch_norm_add_relu(in->x, in->residual, in->parameters(), Mode::train);
      backward(projected(y, to_tensor(projection, shape, y.dtype(), {})));
    }
    const double tolerance = 4 * type_tolerance(dtype);
    EXPECT_TRUE(close(half.x.grad(), doubles(full.x.grad()), tolerance)) << name(dtype);
    EXPECT_TRUE(close(half.residual.grad(), doubles(full.residual.grad()), tolerance)) << name(dtype);
    EXPECT_TRUE(close(half.gamma.grad(), doubles(full.gamma.grad()), tolerance)) << name(dtype);
    EXPECT_TRUE(close(half.beta.grad(), doubles(full.beta.grad()), tolerance)) << name(dtype);
  }
}

TEST(BatchNorm, TakesATensorAtAnyAddress) {
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Shape shape{3, 5, 4, 16};
      Random random("address");
      const Inputs in = draw(shape, dtype, "address");
      const Tensor projection = to_tensor(draw_projection(shape.size(), dtype, random), shape, dtype, device);
      std::vector<Tensor> y, dx;
      for (const int64_t offset : {0, 1}) {
        const BatchNormTensors p{.gamma = in.gamma.to(device),
                                 .beta = in.beta.to(device),
                                 .running_mean = {},
                                 .running_var = {},
                                 .batch_mean = {},
                                 .batch_var = {}};
        Tensor x = empty({shape.size() + 1}, dtype, device).slice(offset, shape);
        x.copy_from(in.x);
        x.set_requires_grad(true);
        y.push_back(batch_norm_add_relu(x, in.residual.to(device), p, Mode::train));
        backward(projected(y.back(), projection));
        dx.push_back(x.grad());
      }
      EXPECT_TRUE(close(y[1], doubles(y[0]), type_tolerance(dtype))) << name(dtype);
      EXPECT_TRUE(close(dx[1], doubles(dx[0]), type_tolerance(dtype))) << name(dtype);
    }
  }
}

TEST(BatchNorm, NormalizesToMeanZeroAndVarianceOne) {
  const Inputs in = draw({6, 5, 4, 3}, DType::f32, "normalize");
  BatchNormTensors p = in.parameters();
  p.gamma = full({3}, 1.0f, DType::f32);
  p.beta = zeros({3}, DType::f32);
  const std::vector<float> y = batch_norm(in.x, p, Mode::train).to_vector();
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0.0;
    double squares = 0.0;
    for (size_t i = c; i < y.size(); i += 3) {
      const double v = static_cast<double>(y[i]);
      sum += v;
      squares += v * v;
    }
    EXPECT_NEAR(sum / 120, 0.0, 1e-6);
    EXPECT_NEAR(squares / 120, 1.0, 1e-4);
  }
}

TEST(BatchNorm, LeavesRunningStatisticsAlone) {
  const Inputs in = draw({2, 3, 3, 5}, DType::f32, "running");
  BatchNormTensors p = in.parameters();
  p.running_mean = full({5}, 3.0f, DType::f32);
  p.running_var = full({5}, 7.0f, DType::f32);
  batch_norm_relu(in.x, p, Mode::train);
  EXPECT_EQ(p.running_mean.to_vector(), std::vector<float>(5, 3.0f));
  EXPECT_EQ(p.running_var.to_vector(), std::vector<float>(5, 7.0f));
}

TEST(BatchNorm, SpreadsANaNOverItsChannelOnly) {
  const Inputs in = draw({2, 3, 3, 5}, DType::f32, "nan");
  in.x.data<float>()[5 * 4 + 2] = std::nanf("");
  const std::vector<float> y = batch_norm_relu(in.x, in.parameters(), Mode::train).to_vector();
  for (size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(std::isnan(y[i]), i % 5 == 2) << i;
  }
}

TEST(BatchNorm, NamesWhatIsWrong) {
  const Inputs in = draw({2, 3, 3, 5}, DType::f32, "errors");
  BatchNormTensors p = in.parameters();
  EXPECT_TRUE(fails_with([&] { batch_norm(in.x, p, Mode::evaluate); }, {"batch_norm:", "running_mean", "undefined", "[5]"}));
  p.gamma = zeros({4}, DType::f32);
  EXPECT_TRUE(fails_with([&] { batch_norm_relu(in.x, p, Mode::train); }, {"batch_norm_relu:", "gamma", "[4] f32", "[5]"}));
  p.gamma = zeros({5}, DType::bf16);
  EXPECT_TRUE(fails_with([&] { batch_norm(in.x, p, Mode::train); }, {"gamma", "bf16", "wanted f32"}));
  p.gamma = in.gamma;
  EXPECT_TRUE(
      fails_with([&] { batch_norm_add_relu(in.x, {}, p, Mode::train); }, {"batch_norm_add_relu:", "residual", "undefined"}));
  EXPECT_TRUE(fails_with(
      [&] {
        batch_norm_add_relu(in.x, zeros({2, 3, 3, 4}, DType::f32), p, Mode::train);
      },
      {"residual", "[2, 3, 3, 4]", "[2, 3, 3, 5]"}));
  EXPECT_TRUE(fails_with([&] { batch_norm(zeros({5}, DType::f32), p, Mode::train); }, {"[5]", "at least 2 dimensions"}));
  EXPECT_TRUE(fails_with([&] { batch_norm(zeros({2, 5}, DType::u8), p, Mode::train); }, {"u8", "f32, f16 or bf16"}));
}

}  // namespace
}  // namespace residua::test
