#include "core/nn/layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/nn/initialization.h"
#include "core/nn/parameter_store.h"

namespace residua::test {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LayersTest, BatchNormKeepsTheStatisticsOfTheBatch) {
  BatchNorm2d layer(2);
  ParameterStore store(layer);
  initialize(store, 0);
  layer.forward(from_values({1, 2, 2, 2}, std::vector<float>{1, 0, 3, 0, 5, 4, 7, 4}), Mode::train);
  EXPECT_THAT(layer.statistics.batch_mean.to_vector(), ElementsAre(4, 2));
  EXPECT_THAT(layer.statistics.batch_variance.to_vector(), ElementsAre(5, 4));
  EXPECT_THAT(layer.statistics.bessel_correction.to_vector(), Each(4.0f / 3.0f));
  EXPECT_THAT(layer.statistics.running_mean.to_vector(), Each(0.0f)) << "the optimizer's commit writes these";
}

TEST(LayersTest, BatchNormUnbiasFollowsTheBatchAndTheStore) {
  BatchNorm2d layer(3);
  {
    ParameterStore store(layer);
    initialize(store, 0);
    layer.forward(full({2, 1, 1, 3}, 1.0f, DType::f32), Mode::train);
    EXPECT_THAT(layer.statistics.bessel_correction.to_vector(), Each(2.0f));
    layer.forward(full({5, 1, 1, 3}, 1.0f, DType::f32), Mode::train);
    EXPECT_THAT(layer.statistics.bessel_correction.to_vector(), Each(1.25f));
  }
  ParameterStore other(layer);
  initialize(other, 0);
  layer.forward(full({5, 1, 1, 3}, 1.0f, DType::f32), Mode::train);
  EXPECT_THAT(layer.statistics.bessel_correction.to_vector(), Each(1.25f));
}

TEST(LayersTest, BatchNormRefusesToTrainOnASingleRow) {
  BatchNorm2d layer(3);
  ParameterStore store(layer);
  initialize(store, 0);
  const Tensor x = full({1, 1, 1, 3}, 1.0f, DType::f32);
  EXPECT_NO_THROW(layer.forward(x, Mode::evaluate));
  try {
    layer.forward(x, Mode::train);
    FAIL() << "a single row was normalized";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("at least 2 values per channel"));
  }
}

TEST(LayersTest, LinearAddsItsBias) {
  Linear layer(2, 3);
  ParameterStore store(layer);
  from_logical(layer.weight, std::vector<float>{1, 0, 0, 1, 1, 1}, layer.weight.master);
  from_logical(layer.bias, std::vector<float>{0.5f, 0, -1}, layer.bias.master);
  store.masters_changed();
  EXPECT_THAT(layer.forward(from_values({1, 2}, std::vector<float>{2, 3})).to_vector(), ElementsAre(2.5f, 3, 4));
}

TEST(LayersTest, BadSizesAreRefused) {
  EXPECT_THROW(Conv2d({.in_channels = 0, .out_channels = 1, .kernel = 1}), UsageError);
  EXPECT_THROW(Conv2d({.in_channels = 1, .out_channels = 1, .kernel = 3, .stride = 0}), UsageError);
  EXPECT_THROW(Conv2d({.in_channels = 4, .out_channels = 1, .kernel = 3, .stored_in_channels = 3}), Error);
  EXPECT_THROW(BatchNorm2d(0), UsageError);
  EXPECT_THROW(Linear(3, -1), UsageError);
}

TEST(LayersTest, SummaryRefusesAnInputSmallerThanTheWindow) {
  const Conv2d layer({.in_channels = 1, .out_channels = 1, .kernel = 3});
  std::vector<LayerSummary> rows;
  EXPECT_EQ(layer.summarize("c", {1, 3, 5, 1}, rows), (Shape{1, 1, 3, 1}));
  EXPECT_EQ(rows.at(0).multiply_adds, 27);
  EXPECT_THROW(layer.summarize("c", {1, 2, 5, 1}, rows), UsageError);
}

}  // namespace
}  // namespace residua::test
