#include "core/nn/layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

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

// Three images of two pixels: 1 3, 5 7, 10 14. The first two have the mean 4 and the unbiased variance 20/3, the last one 12
// and 8. So they commit (4 + 12) / 2 and (20/3 + 8) / 2.
class StatisticsOfParts : public ::testing::Test {
 protected:
  StatisticsOfParts() : store_(layer_) { initialize(store_, 0); }
  void expect_committed() const {
    EXPECT_FLOAT_EQ(layer_.statistics.running_mean.to_vector().at(0), 0.1f * 8.0f);
    EXPECT_FLOAT_EQ(layer_.statistics.running_variance.to_vector().at(0), 0.9f + 0.1f * 22.0f / 3.0f);
  }
  static Tensor images(int64_t count, const std::vector<float>& pixels) { return from_values({count, 1, 2, 1}, pixels); }

  BatchNorm2d layer_{1};
  ParameterStore store_;
};

TEST_F(StatisticsOfParts, GroupsCommitTheirMean) {
  store_.set_group_images(2);
  const std::vector<float> y = layer_.forward(images(3, {1, 3, 5, 7, 10, 14}), Mode::train).to_vector();
  EXPECT_NEAR(y.at(0), -3 / std::sqrt(5.0), 1e-5);
  EXPECT_NEAR(y.at(3), 3 / std::sqrt(5.0), 1e-5);
  EXPECT_NEAR(y.at(4), -1, 1e-5);
  EXPECT_NEAR(y.at(5), 1, 1e-5);
  EXPECT_THAT(layer_.statistics.bessel_correction.to_vector(), Each(1.0f));
  store_.commit_statistics(0.1f, nullptr);
  expect_committed();
}

TEST_F(StatisticsOfParts, PassesCommitTheirMean) {
  layer_.forward(images(1, {std::nanf(""), 1}), Mode::train);
  store_.note_pass(0);  // of a step that was skipped
  layer_.forward(images(2, {1, 3, 5, 7}), Mode::train);
  store_.note_pass(0);
  layer_.forward(images(1, {10, 14}), Mode::train);
  store_.note_pass(1);
  store_.commit_passes(0.1f, nullptr);
  expect_committed();
}

TEST_F(StatisticsOfParts, AGroupThatHoldsTheBatchIsOneGroup) {
  const Tensor x = images(3, {1, 3, 5, 7, 10, 14});
  const std::vector<float> whole = layer_.forward(x, Mode::train).to_vector();
  for (const int64_t group : {3, 4}) {
    store_.set_group_images(group);
    EXPECT_EQ(layer_.forward(x, Mode::train).to_vector(), whole);
    EXPECT_THAT(layer_.statistics.bessel_correction.to_vector(), Each(1.2f));
  }
}

TEST_F(StatisticsOfParts, AGroupOfASingleRowIsRefused) {
  store_.set_group_images(2);
  const Tensor x = full({3, 1, 1, 1}, 1.0f, DType::f32);
  EXPECT_NO_THROW(layer_.forward(x, Mode::evaluate));
  try {
    layer_.forward(x, Mode::train);
    FAIL() << "a single row was normalized";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("[3, 1, 1, 1] in groups of 2, the last of 1, but needs at least 2 values"));
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
