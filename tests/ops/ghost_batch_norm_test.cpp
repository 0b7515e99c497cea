// Batch normalization of groups equals, group by group, that of separate batches, in all its forms and in all gradients.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/autograd/tape.h"
#include "tests/ops/batch_norm_forms.h"
#include "tests/support/compare.h"

namespace residua::test {
namespace {

BatchNormTensors in_groups(const NormInputs& in, int64_t group_images) {
  BatchNormTensors p = in.parameters();
  p.group_images = group_images;
  return p;
}

void expect_separate_batches(const NormForm& form, const Shape& shape, int64_t group, DType dtype, Device device) {
  SCOPED_TRACE(
      fmt::format("{} of {} {} in groups of {} on {}", form.name, shape.string(), name(dtype), group, device.string()));
  Random random("groups");
  const NormInputs in = draw_norm_inputs(random, shape, dtype, device);
  const Tensor y = form.op(in, in_groups(in, group));
  const Tensor projection = to_tensor(draw_projection(y.size(), dtype, random), y.shape(), dtype, device);
  backward(projected(y, projection));

  HostArray want_y, want_dx, want_residual, want_gamma, want_beta, want_w;
  for (int64_t first = 0; first < shape[0]; first += group) {
    const int64_t count = std::min(group, shape[0] - first);
    const NormInputs part = in.part(first, count);
    const Tensor part_y = form.op(part, part.parameters());
    append(want_y, part_y);
    backward(projected(part_y, images_of(projection, first, count)));
    append(want_dx, part.x.grad());
    add(want_gamma, part.gamma.grad());
    add(want_beta, part.beta.grad());
    append(want_residual, part.residual.grad());
    add(want_w, part.w.grad());
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
      for (const NormForm& form : norm_forms()) {
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
    Random random("groups");
    const NormInputs in = draw_norm_inputs(random, {5, 4, 4, 16}, DType::f32, device);
    const Tensor y = batch_norm_add_relu(in.x, in.residual, in_groups(in, 2), Mode::train);
    for (int64_t first = 0; first < 5; first += 2) {
      const NormInputs part = in.part(first, std::min<int64_t>(2, 5 - first));
      const Tensor want = batch_norm_add_relu(part.x, part.residual, part.parameters(), Mode::train);
      EXPECT_TRUE(same_bits(images_of(y, first, want.dim(0)), want)) << device.string();
    }
  }
}

TEST(GhostBatchNorm, EvaluationKnowsNoGroups) {
  for (const Device device : test_devices()) {
    Random random("groups");
    const NormInputs in = draw_norm_inputs(random, {5, 3, 4, 8}, DType::f32, device);
    BatchNormTensors p = in_groups(in, 2);
    p.running_mean = full({8}, 0.25f, DType::f32, device);
    p.running_var = full({8}, 2.0f, DType::f32, device);
    const std::vector<float> grouped = batch_norm_relu(in.x, p, Mode::evaluate).to_vector();
    p.group_images = 0;
    EXPECT_EQ(grouped, batch_norm_relu(in.x, p, Mode::evaluate).to_vector());
  }
}

TEST(GhostBatchNorm, RefusesStatisticsOfTheWholeBatch) {
  Random random("groups");
  const NormInputs in = draw_norm_inputs(random, {5, 3, 4, 8}, DType::f32, {});
  BatchNormTensors p = in_groups(in, 2);
  for (Tensor* tensor : {&p.batch_mean, &p.batch_var, &p.batch_rstd}) {
    *tensor = zeros({8}, DType::f32);
  }
  EXPECT_TRUE(fails_with([&] { batch_norm(in.x, p, Mode::train); }, {"batch_norm:", "5 images", "groups of 2", "batch_rstd"}));
}

}  // namespace
}  // namespace residua::test
