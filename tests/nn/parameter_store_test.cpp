#include "core/nn/parameter_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <string>

#include "core/nn/initialization.h"
#include "models/resnet.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

ResNetSpec small() { return {.stem = Stem::cifar, .blocks = {1, 1}, .width = 3, .stored_in_channels = 4, .classes = 7}; }

bool inside(const Tensor& view, const Tensor& arena) {
  const auto* begin = static_cast<const std::byte*>(arena.data());
  const auto* first = static_cast<const std::byte*>(view.data());
  return first >= begin && first + view.bytes() <= begin + arena.bytes();
}

bool aligned(const Tensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.data()) % 64 == 0; }

TEST(ParameterStoreTest, ViewsLieAlignedInTheArenaOfTheirRole) {
  ResNet model(small());
  ParameterStore store(model, {.compute = DType::bf16});
  ASSERT_FALSE(store.parameters().empty());
  for (const Parameter* parameter : store.parameters()) {
    const ParameterArena& arena = parameter->role == ParameterRole::matrix ? store.matrices() : store.vectors();
    EXPECT_TRUE(inside(parameter->master, arena.master)) << parameter->name;
    EXPECT_TRUE(inside(parameter->velocity, arena.velocity)) << parameter->name;
    EXPECT_TRUE(inside(parameter->gradient, arena.gradient)) << parameter->name;
    EXPECT_TRUE(inside(parameter->value, arena.copy.defined() ? arena.copy : arena.master)) << parameter->name;
    EXPECT_EQ(parameter->value.dtype(), parameter->role == ParameterRole::matrix ? DType::bf16 : DType::f32);
    EXPECT_TRUE(parameter->value.requires_grad()) << parameter->name;
    for (const Tensor& view : {parameter->master, parameter->value, parameter->velocity, parameter->gradient}) {
      EXPECT_EQ(view.shape(), parameter->shape) << parameter->name;
      EXPECT_TRUE(aligned(view)) << parameter->name;
    }
  }
}

TEST(ParameterStoreTest, ViewsDoNotOverlap) {
  ResNet model(small());
  ParameterStore store(model);
  float mark = 1;
  for (const Parameter* parameter : store.parameters()) {
    parameter->master.copy_from(std::vector<float>(static_cast<size_t>(parameter->shape.size()), mark++));
  }
  mark = 1;
  for (const Parameter* parameter : store.parameters()) {
    EXPECT_THAT(parameter->master.to_vector(), ::testing::Each(mark++)) << parameter->name;
  }
}

TEST(ParameterStoreTest, Fp32ReadsTheMasterItself) {
  ResNet model(small());
  ParameterStore store(model);
  for (const Parameter* parameter : store.parameters()) {
    EXPECT_EQ(parameter->value.data(), parameter->master.data());
  }
}

TEST(ParameterStoreTest, GradientsOfMatricesHaveTheTypeAskedFor) {
  ResNet model(small());
  ParameterStore store(model, {.compute = DType::bf16, .matrix_gradient = DType::bf16});
  for (const Parameter* parameter : store.parameters()) {
    EXPECT_EQ(parameter->gradient.dtype(), parameter->role == ParameterRole::matrix ? DType::bf16 : DType::f32);
  }
}

TEST(ParameterStoreTest, InferenceKeepsNeitherGradientsNorVelocities) {
  ResNet model(small());
  ParameterStore store(model, {.purpose = Purpose::inference});
  for (const Parameter* parameter : store.parameters()) {
    EXPECT_FALSE(parameter->gradient.defined());
    EXPECT_FALSE(parameter->velocity.defined());
    EXPECT_FALSE(parameter->value.requires_grad());
  }
}

TEST(ParameterStoreTest, SixteenBitCopiesFollowTheMasters) {
  ResNet model(small());
  ParameterStore store(model, {.compute = DType::bf16});
  Parameter& weight = store.parameter("layer2.0.conv1.weight");
  std::vector<float> values(static_cast<size_t>(weight.shape.size()));
  std::iota(values.begin(), values.end(), 0.1f);
  weight.master.copy_from(values);
  const int64_t version = store.version();
  store.masters_changed();
  EXPECT_GT(store.version(), version);
  for (float& value : values) {
    value = to_float(from_float<bf16>(value));
  }
  EXPECT_THAT(weight.value.to_vector(), ElementsAreArray(values));
}

TEST(ParameterStoreTest, StatisticsStartAtMeanZeroAndVarianceOne) {
  ResNet model(small());
  ParameterStore store(model);
  ASSERT_EQ(store.statistics().size(), 1u + 2u + 3u);
  for (const RunningStatistics* layer : store.statistics()) {
    EXPECT_THAT(layer->running_mean.to_vector(), ::testing::Each(0.0f)) << layer->name;
    EXPECT_THAT(layer->running_variance.to_vector(), ::testing::Each(1.0f)) << layer->name;
    EXPECT_TRUE(aligned(layer->batch_mean)) << layer->name;
  }
  EXPECT_EQ(store.statistics().front()->name, "bn1");
  EXPECT_EQ(store.statistics().back()->name, "layer2.0.downsample.1");
}

TEST(ParameterStoreTest, UnknownNamesAreRefused) {
  ResNet model(small());
  ParameterStore store(model);
  EXPECT_EQ(store.parameter("fc.bias").shape, (Shape{7}));
  EXPECT_THROW(store.parameter("fc.gamma"), UsageError);
}

/// Two children of one name.
class Twins : public Module {
 public:
  Twins() : a_(1, 1), b_(1, 1) {
    add_child("fc", a_);
    add_child("fc", b_);
  }
  Tensor forward(const Tensor& x, Mode) override { return x; }
  Shape summarize(const std::string&, const Shape& input, std::vector<LayerSummary>&) const override { return input; }

 private:
  Linear a_;
  Linear b_;
};

TEST(ParameterStoreTest, TwoParametersOfOneNameAreRefused) {
  Twins model;
  try {
    ParameterStore store(model);
    FAIL() << "two parameters of one name were taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("two parameters are named fc.weight"));
  }
}

TEST(ParameterTest, LogicalOrderIsOihw) {
  // Two outputs, two channels of three stored, a window of 1 x 2.
  Parameter parameter(ParameterRole::matrix, Initializer::he_normal, {2, 1, 2, 3}, {2, 2, 1, 2});
  const Tensor stored = full({2, 1, 2, 3}, -1.0f, DType::f32);
  from_logical(parameter, std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}, stored);
  EXPECT_THAT(stored.to_vector(), ElementsAre(0, 2, 0, 1, 3, 0, 4, 6, 0, 5, 7, 0));
  EXPECT_THAT(to_logical(parameter, stored), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THROW(from_logical(parameter, std::vector<float>(7), stored), Error);
  EXPECT_THROW(to_logical(parameter, zeros({2, 1, 2, 2}, DType::f32)), Error);
}

TEST(ParameterTest, ShapesMustBelongTogether) {
  EXPECT_THROW(Parameter(ParameterRole::matrix, Initializer::zeros, {2, 3, 3, 2}, {2, 3, 3, 3}), Error);
  EXPECT_THROW(Parameter(ParameterRole::vector, Initializer::zeros, {2}, {3}), Error);
}

}  // namespace
}  // namespace residua::test
