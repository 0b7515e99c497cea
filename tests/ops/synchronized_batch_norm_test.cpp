// Batch normalization over ranks equals that of one rank with the whole batch, in all its forms and in all gradients.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/autograd/tape.h"
#include "core/kernels/batch_norm_group_statistics.h"
#include "core/ops/conv2d.h"
#include "tests/ops/batch_norm_forms.h"
#include "tests/support/compare.h"
#include "tests/support/thread_ranks.h"

namespace residua::test {
namespace {

/// Memory for the statistics, with that of `batch_rstd` only if a convolution is to write them.
void give_memory(BatchNormTensors& p, bool rstd = false) {
  const Shape shape = p.gamma.shape();
  const Device device = p.gamma.device();
  p.batch_mean = full(shape, std::nanf(""), DType::f32, device);
  p.batch_var = full(shape, std::nanf(""), DType::f32, device);
  p.bessel_correction = full(shape, std::nanf(""), DType::f32, device);
  p.batch_rstd = rstd ? full(shape, std::nanf(""), DType::f32, device) : Tensor();
}

/// The forms of batch normalization, and one whose statistics the convolution before it has computed.
std::vector<NormForm> forms() {
  std::vector<NormForm> all = norm_forms();
  all.push_back({"conv2d and batch_norm", [](const NormInputs& in, BatchNormTensors p) {
                   give_memory(p, true);
                   return batch_norm(conv2d(in.x, in.w, {.stride = 1, .padding = 1}, &p), p, Mode::train);
                 }});
  return all;
}

/// Whether rounding may put a value on the ReLU's other side, with or without the residual.
bool near_the_kink(const NormInputs& in) {
  const std::vector<float> y = batch_norm(in.x, in.parameters(), Mode::train).to_vector();
  const std::vector<float> residual = in.residual.to_vector();
  for (size_t i = 0; i < y.size(); ++i) {
    if (std::fabs(y[i]) < 1e-5f || std::fabs(y[i] + residual[i]) < 1e-5f) {
      return true;
    }
  }
  return false;
}

/// What the ranks have computed: outputs and gradients of their images one after the other, sums of the others.
struct Results {
  HostArray y, dx, dresidual, dgamma, dbeta, dw;

  void take(const NormInputs& in, const Tensor& output) {
    append(y, output);
    append(dx, in.x.grad());
    append(dresidual, in.residual.grad());
    add(dgamma, in.gamma.grad());
    add(dbeta, in.beta.grad());
    add(dw, in.w.grad());
  }
};

void expect_close(const HostArray& got, const HostArray& want, double tolerance, const char* what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  if (!want.empty()) {
    EXPECT_TRUE(close(std::vector<float>(got.begin(), got.end()), want, tolerance)) << what;
  }
}

/// The gradients of gamma and beta that a rank must have: those of the whole batch if the other ranks' images have dy = 0.
void expect_own_part(const NormForm& form, const NormInputs& in, const NormInputs& part, int64_t first, const Tensor& dy,
                     double tolerance) {
  const Tensor own = zeros(dy.shape(), dy.dtype(), dy.device());
  const int64_t image = dy.size() / dy.dim(0);
  const Shape elements{part.x.dim(0) * image};
  own.slice(first * image, elements).copy_from(dy.slice(first * image, elements));
  const NormInputs whole = in.part(0, in.x.dim(0));
  backward(projected(form.op(whole, whole.parameters()), own));
  HostArray dgamma, dbeta;
  append(dgamma, whole.gamma.grad());
  append(dbeta, whole.beta.grad());
  EXPECT_TRUE(close(part.gamma.grad(), dgamma, tolerance)) << "dgamma of the rank with image " << first;
  EXPECT_TRUE(close(part.beta.grad(), dbeta, tolerance)) << "dbeta of the rank with image " << first;
}

/// `shares`: images of each rank.
void expect_one_batch(const NormForm& form, const Shape& image, const std::vector<int64_t>& shares, DType dtype,
                      Device device) {
  Random random("ranks");
  const Shape shape{std::accumulate(shares.begin(), shares.end(), int64_t{0}), image[0], image[1], image[2]};
  SCOPED_TRACE(
      fmt::format("{} of {} {} on {}, {} ranks", form.name, shape.string(), name(dtype), device.string(), shares.size()));
  NormInputs in = draw_norm_inputs(random, shape, dtype, device);
  while (near_the_kink(in)) {
    in = draw_norm_inputs(random, shape, dtype, device);
  }
  const Tensor y = form.op(in, in.parameters());
  const Tensor projection = to_tensor(draw_projection(y.size(), dtype, random), y.shape(), dtype, device);
  backward(projected(y, projection));
  Results want;
  want.take(in, y);

  std::vector<NormInputs> parts(shares.size());
  std::vector<Tensor> outputs(shares.size());
  run_ranks(static_cast<int64_t>(shares.size()), [&](Communicator& ranks) {
    const auto rank = static_cast<size_t>(ranks.rank());
    const int64_t first = std::accumulate(shares.begin(), shares.begin() + ranks.rank(), int64_t{0});
    parts[rank] = in.part(first, shares[rank]);
    BatchNormTensors p = parts[rank].parameters();
    p.ranks = &ranks;
    outputs[rank] = form.op(parts[rank], p);
    backward(projected(outputs[rank], images_of(projection, first, shares[rank])));
  });
  const double tolerance = dtype == DType::f32 ? 2e-6 : 2 * type_tolerance(dtype);
  Results got;
  int64_t first = 0;
  for (size_t rank = 0; rank < parts.size(); ++rank) {
    got.take(parts[rank], outputs[rank]);
    expect_own_part(form, in, parts[rank], first, projection, 4 * tolerance);
    first += shares[rank];
  }
  expect_close(got.y, want.y, tolerance, "y");
  expect_close(got.dx, want.dx, 4 * tolerance, "dx");
  expect_close(got.dresidual, want.dresidual, tolerance, "the residual's gradient");
  expect_close(got.dgamma, want.dgamma, 4 * tolerance, "dgamma");
  expect_close(got.dbeta, want.dbeta, 4 * tolerance, "dbeta");
  expect_close(got.dw, want.dw, 8 * tolerance, "dw");
}

TEST(SynchronizedBatchNorm, IsThatOfOneBatch) {
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const NormForm& form : forms()) {
        expect_one_batch(form, {3, 5, 7}, {1, 2}, dtype, device);
        expect_one_batch(form, {4, 3, 16}, {3, 1}, dtype, device);
        expect_one_batch(form, {3, 3, 5}, {1, 3, 2}, dtype, device);
      }
    }
  }
}

/// Two ranks with rows of one channel each: 1, 3, 8 and 12, 16.
void with_five_rows(Device device, const std::function<void(const Tensor& x, BatchNormTensors& p)>& f) {
  run_ranks(2, [&](Communicator& ranks) {
    const std::vector<float> rows = ranks.rank() == 0 ? std::vector<float>{1, 3, 8} : std::vector<float>{12, 16};
    BatchNormTensors p{.gamma = full({1}, 1.0f, DType::f32, device),
                       .beta = zeros({1}, DType::f32, device),
                       .running_mean = {},
                       .running_var = {},
                       .batch_mean = {},
                       .batch_var = {}};
    give_memory(p);
    p.ranks = &ranks;
    f(from_values({static_cast<int64_t>(rows.size()), 1}, rows, DType::f32, device), p);
  });
}

TEST(SynchronizedBatchNorm, StatisticsAreThoseOfAllRows) {
  for (const Device device : test_devices()) {
    with_five_rows(device, [](const Tensor& x, BatchNormTensors& p) {
      batch_norm(x, p, Mode::train);
      // The mean is 8, the differences are -7, -5, 0, 4 and 8.
      EXPECT_FLOAT_EQ(p.batch_mean.to_vector().at(0), 8.0f);
      EXPECT_FLOAT_EQ(p.batch_var.to_vector().at(0), 154.0f / 5.0f);
      EXPECT_FLOAT_EQ(p.bessel_correction.to_vector().at(0), 5.0f / 4.0f);
    });
  }
}

TEST(SynchronizedBatchNorm, TotalsAreThoseOfThisRanksRows) {
  for (const Device device : test_devices()) {
    with_five_rows(device, [&](const Tensor& x, BatchNormTensors& p) {
      p.totals = zeros({sizeof(BatchNormTotal)}, DType::u8, device);
      batch_norm(x, p, Mode::train);
      BatchNormTotal total{};
      device_api::copy(Device{}, &total, device, p.totals.data(), sizeof total);
      EXPECT_EQ(total.count, p.ranks->leads() ? 3 : 2);
      EXPECT_NEAR(total.mean, p.ranks->leads() ? 4 : 14, 1e-6);
      EXPECT_NEAR(total.squares, p.ranks->leads() ? 26 : 8, 1e-5);
    });
  }
}

// Whoever joins a pending norm twice, joins the same statistics twice.
TEST(SynchronizedBatchNorm, StatisticsThatAConvolutionWroteCanBeCombinedTwice) {
  for (const Device device : test_devices()) {
    run_ranks(2, [&](Communicator& ranks) {
      const Tensor x = full({1 + ranks.rank(), 1, 1, 1}, static_cast<float>(3 * ranks.rank()), DType::f32, device);
      BatchNormTensors p{.gamma = full({1}, 1.0f, DType::f32, device),
                         .beta = zeros({1}, DType::f32, device),
                         .running_mean = {},
                         .running_var = {},
                         .batch_mean = {},
                         .batch_var = {}};
      give_memory(p, true);
      p.ranks = &ranks;
      const Tensor y = conv2d(x, full({1, 1, 1, 1}, 1.0f, DType::f32, device), {}, &p);
      const std::vector<float> first = batch_norm(y, p, Mode::train).to_vector();
      EXPECT_NEAR(first.at(0), (ranks.rank() == 0 ? -2 : 1) / std::sqrt(2.0), 1e-5);  // mean 2, variance 2
      const std::vector<float> second = batch_norm(y, p, Mode::train).to_vector();
      EXPECT_NEAR(first.at(0), second.at(0), 1e-6);
    });
  }
}

TEST(SynchronizedBatchNorm, ABadValueOfOneRankIsSeenByAll) {
  for (const Device device : test_devices()) {
    for (const float bad : {std::nanf(""), INFINITY}) {
      with_five_rows(device, [&](const Tensor& x, BatchNormTensors& p) {
        if (!p.ranks->leads()) {
          x.slice(1, {1}).copy_from(std::vector<float>{bad});
        }
        EXPECT_FALSE(std::isfinite(batch_norm(x, p, Mode::train).to_vector().at(0)));
        EXPECT_FALSE(std::isfinite(p.batch_mean.to_vector().at(0)));
        EXPECT_FALSE(std::isfinite(p.batch_var.to_vector().at(0)));
      });
    }
  }
}

TEST(SynchronizedBatchNorm, EvaluationNeedsNoOtherRank) {
  for (const Device device : test_devices()) {
    with_five_rows(device, [&](const Tensor& x, BatchNormTensors& p) {
      if (p.ranks->leads()) {
        p.running_mean = full({1}, 2.0f, DType::f32, device);
        p.running_var = full({1}, 4.0f, DType::f32, device);
        p.gamma.set_requires_grad(true);
        const Tensor y = batch_norm(x, p, Mode::evaluate);
        EXPECT_NEAR(y.to_vector().at(2), 3, 1e-5);
        backward(projected(y, full({3, 1}, 1.0f, DType::f32, device)));
        EXPECT_NEAR(p.gamma.grad().to_vector().at(0), 3, 1e-5);
      }
    });
  }
}

TEST(SynchronizedBatchNorm, RefusesGroups) {
  with_five_rows({}, [](const Tensor& x, BatchNormTensors& p) {
    p.group_images = 1;
    EXPECT_TRUE(fails_with([&] { batch_norm(x, p, Mode::train); }, {"batch_norm:", "groups of 1", "2 ranks"}));
  });
}

}  // namespace
}  // namespace residua::test
