// Batch normalization of groups equals, group by group, that of separate batches, in all its forms and in all gradients.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "core/autograd/tape.h"
#include "core/ops/batch_norm_relu_conv2d.h"
#include "core/ops/batch_norm_relu_max_pool.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

struct Inputs {
  Tensor x, residual, gamma, beta, w;

  BatchNormTensors parameters(int64_t group_images) const {
    return {.gamma = gamma,
            .beta = beta,
            .running_mean = {},
            .running_var = {},
            .batch_mean = {},
            .batch_var = {},
            .batch_rstd = {},
            .group_images = group_images};
  }
};

Tensor leaf(const Shape& shape, DType dtype, Device device, const Values& values, const char* name) {
  Random random(name);
  HostArray host(static_cast<size_t>(shape.size()));
  values(random, host);
  Tensor t = to_tensor(host, shape, dtype, device);
  t.set_requires_grad(true);
  return t;
}

Inputs draw(const Shape& shape, DType dtype, Device device) {
  const int64_t channels = shape[3];
  return {leaf(shape, dtype, device, uniform(-1, 1), "x"), leaf(shape, dtype, device, uniform(-1, 1), "residual"),
          leaf({channels}, DType::f32, device, away_from_zero(0.5, 1.5), "gamma"),
          leaf({channels}, DType::f32, device, uniform(-0.5, 0.5), "beta"),
          leaf({6, 3, 3, channels}, dtype, device, uniform(-1, 1), "w")};
}

Tensor images(const Tensor& x, int64_t first, int64_t count) {
  Tensor part = empty({count, x.dim(1), x.dim(2), x.dim(3)}, x.dtype(), x.device());
  part.copy_from(x.slice(first * (x.size() / x.dim(0)), part.shape()));
  return part;
}

Inputs part_of(const Inputs& in, int64_t first, int64_t count) {
  Inputs part{images(in.x, first, count), images(in.residual, first, count), in.gamma.clone(), in.beta.clone(), in.w.clone()};
  for (Tensor* tensor : {&part.x, &part.residual, &part.gamma, &part.beta, &part.w}) {
    tensor->set_requires_grad(true);
  }
  return part;
}

std::vector<double> doubles(const Tensor& t) {
  const std::vector<float> v = t.to_vector();
  return {v.begin(), v.end()};
}

void append(std::vector<double>& all, const Tensor& t) {
  const std::vector<double> v = doubles(t);
  all.insert(all.end(), v.begin(), v.end());
}

void add(std::vector<double>& sums, const Tensor& t) {
  const std::vector<double> v = doubles(t);
  sums.resize(v.size());
  std::ranges::transform(sums, v, sums.begin(), std::plus());
}

using Op = std::function<Tensor(const Inputs& in, int64_t group_images)>;

struct Form {
  const char* name;
  Op op;
};

const Form kForms[] = {
    {"batch_norm", [](const Inputs& in, int64_t g) { return batch_norm(in.x, in.parameters(g), Mode::train); }},
    {"batch_norm_relu", [](const Inputs& in, int64_t g) { return batch_norm_relu(in.x, in.parameters(g), Mode::train); }},
    {"batch_norm_add_relu",
     [](const Inputs& in, int64_t g) { return batch_norm_add_relu(in.x, in.residual, in.parameters(g), Mode::train); }},
    {"batch_norm_relu_max_pool",
     [](const Inputs& in, int64_t g) {
       return batch_norm_relu_max_pool(in.x, in.parameters(g), {.window = 3, .stride = 2, .padding = 1}, Mode::train);
     }},
    {"batch_norm_relu_conv2d", [](const Inputs& in, int64_t g) {
       return batch_norm_relu_conv2d(in.x, in.parameters(g), in.w, {.stride = 1, .padding = 1}, Mode::train);
     }}};

void expect_separate_batches(const Form& form, const Shape& shape, int64_t group, DType dtype, Device device) {
  SCOPED_TRACE(
      fmt::format("{} of {} {} in groups of {} on {}", form.name, shape.string(), name(dtype), group, device.string()));
  Random random("projection");
  const Inputs in = draw(shape, dtype, device);
  const Tensor y = form.op(in, group);
  const Tensor projection = to_tensor(draw_projection(y.size(), dtype, random), y.shape(), dtype, device);
  backward(projected(y, projection));

  std::vector<double> want_y, want_dx, want_residual, want_gamma, want_beta, want_w;
  for (int64_t first = 0; first < shape[0]; first += group) {
    const int64_t count = std::min(group, shape[0] - first);
    const Inputs part = part_of(in, first, count);
    const Tensor part_y = form.op(part, 0);
    append(want_y, part_y);
    backward(projected(part_y, images(projection, first, count)));
    append(want_dx, part.x.grad());
    add(want_gamma, part.gamma.grad());
    add(want_beta, part.beta.grad());
    if (part.residual.grad().defined()) {
      append(want_residual, part.residual.grad());
    }
    if (part.w.grad().defined()) {
      add(want_w, part.w.grad());
    }
  }
  const double tolerance = dtype == DType::f32 ? 2e-6 : 2 * type_tolerance(dtype);
  EXPECT_TRUE(close(y, want_y, tolerance));
  EXPECT_TRUE(close(in.x.grad(), want_dx, 4 * tolerance));
  EXPECT_TRUE(close(in.gamma.grad(), want_gamma, 4 * tolerance));
  EXPECT_TRUE(close(in.beta.grad(), want_beta, 4 * tolerance));
  ASSERT_EQ(in.residual.grad().defined(), !want_residual.empty());
  if (!want_residual.empty()) {
    EXPECT_TRUE(close(in.residual.grad(), want_residual, tolerance));
  }
  ASSERT_EQ(in.w.grad().defined(), !want_w.empty());
  if (!want_w.empty()) {
    EXPECT_TRUE(close(in.w.grad(), want_w, 8 * tolerance));
  }
}

TEST(GhostBatchNorm, IsThatOfSeparateBatches) {
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      for (const Form& form : kForms) {
        expect_separate_batches(form, {5, 3, 5, 7}, 2, dtype, device);
        expect_separate_batches(form, {7, 4, 4, 16}, 3, dtype, device);
        expect_separate_batches(form, {3, 5, 3, 5}, 1, dtype, device);
        expect_separate_batches(form, {2, 4, 5, 8}, 3, dtype, device);
      }
    }
  }
}

// The kernels run each group as they run a batch, so not even rounding differs.
TEST(GhostBatchNorm, HasTheBitsOfSeparateBatches) {
  for (const Device device : test_devices()) {
    const Inputs in = draw({5, 4, 4, 16}, DType::f32, device);
    const Tensor y = batch_norm_add_relu(in.x, in.residual, in.parameters(2), Mode::train);
    for (int64_t first = 0; first < 5; first += 2) {
      const Inputs part = part_of(in, first, std::min<int64_t>(2, 5 - first));
      const Tensor want = batch_norm_add_relu(part.x, part.residual, part.parameters(0), Mode::train);
      EXPECT_TRUE(same_bits(images(y, first, want.dim(0)), want)) << device.string();
    }
  }
}

TEST(GhostBatchNorm, EvaluationKnowsNoGroups) {
  for (const Device device : test_devices()) {
    const Inputs in = draw({5, 3, 4, 8}, DType::f32, device);
    BatchNormTensors p = in.parameters(2);
    p.running_mean = full({8}, 0.25f, DType::f32, device);
    p.running_var = full({8}, 2.0f, DType::f32, device);
    const std::vector<float> grouped = batch_norm_relu(in.x, p, Mode::evaluate).to_vector();
    p.group_images = 0;
    EXPECT_EQ(grouped, batch_norm_relu(in.x, p, Mode::evaluate).to_vector());
  }
}

TEST(GhostBatchNorm, RefusesStatisticsOfTheWholeBatch) {
  const Inputs in = draw({5, 3, 4, 8}, DType::f32, {});
  BatchNormTensors p = in.parameters(2);
  for (Tensor* tensor : {&p.batch_mean, &p.batch_var, &p.batch_rstd}) {
    *tensor = zeros({8}, DType::f32);
  }
  EXPECT_TRUE(fails_with([&] { batch_norm(in.x, p, Mode::train); }, {"batch_norm:", "5 images", "groups of 2", "batch_rstd"}));
}

}  // namespace
}  // namespace residua::test
