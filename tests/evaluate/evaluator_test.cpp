#include "core/evaluate/evaluator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/data/subset.h"
#include "tests/evaluate/trained.h"
#include "tests/support/compare.h"

namespace residua::test {
namespace {

class EvaluatorTest : public ::testing::TestWithParam<Device> {};

INSTANTIATE_TEST_SUITE_P(All, EvaluatorTest, ::testing::ValuesIn(test_devices()),
                         [](const auto& info) { return info.param.type == Device::Type::cpu ? "cpu" : "cuda"; });

/// From the definition: each image alone, its sums made in double.
Metrics one_by_one(Trained& net, const std::shared_ptr<const ImageSource>& source, int64_t without = -1) {
  Metrics sum;
  for (int64_t i = 0; i < source->size(); ++i) {
    if (i == without) {
      continue;
    }
    const Metrics one = net.evaluate(std::make_shared<const Subset>(source, std::vector<int64_t>{i}), {.batch_size = 1});
    EXPECT_EQ(one.images, 1);
    EXPECT_TRUE(std::isfinite(one.loss));
    sum.images += 1;
    sum.loss += one.loss;
    sum.top1_error += one.top1_error;
    sum.top5_error += one.top5_error;
  }
  const auto n = static_cast<double>(sum.images);
  return {.images = sum.images, .loss = sum.loss / n, .top1_error = sum.top1_error / n, .top5_error = sum.top5_error / n};
}

void expect_same(const Metrics& got, const Metrics& want) {
  EXPECT_EQ(got.images, want.images);
  EXPECT_NEAR(got.loss, want.loss, 1e-5 * want.loss);
  EXPECT_NEAR(got.top1_error, want.top1_error, 1e-9);
  EXPECT_NEAR(got.top5_error, want.top5_error, 1e-9);
}

// Batch norm by the running statistics: an image's numbers do not depend on what else is in the batch, and how many.
TEST_P(EvaluatorTest, OfManyImagesIsTheMeanOfEachAlone) {
  Trained net(GetParam());
  const auto source = random_images();
  const Metrics want = one_by_one(net, source);
  EXPECT_GT(want.top1_error, 0.0);
  EXPECT_LT(want.top1_error, 100.0) << "both right and wrong answers are there";
  for (const int64_t batch : {1, 4, 13, 100}) {
    for (const bool pad : {false, true}) {
      for (const int64_t workers : {0, 2}) {
        SCOPED_TRACE(fmt::format("batch {}, padded {}, {} workers", batch, pad, workers));
        expect_same(net.evaluate(source, {.batch_size = batch, .pad_last = pad, .workers = workers}), want);
      }
    }
  }
}

// From the network's own answers: no smoothing of labels, the error of the first and of the first five.
TEST_P(EvaluatorTest, MeasuresTheAnswersOfTheNetwork) {
  Trained net(GetParam());
  const auto source = random_images();
  const Tensor images = empty({kImages, kSize, kSize, 3}, DType::u8);
  for (int64_t i = 0; i < kImages; ++i) {
    std::ranges::copy(source->load(i).pixels, images.span<uint8_t>().begin() + i * kSize * kSize * 3);
  }
  InputFormat format = net.format;
  format.height = format.width = kSize;
  const Tensor x = prepare_input(images.to(net.device), view_tensor(std::vector<SampleView>(kImages), net.device), format);
  const std::vector<float> logits = net.model.forward(x, Mode::evaluate).to_vector();
  double loss = 0;
  int64_t wrong = 0;
  int64_t not_in_five = 0;
  for (int64_t i = 0; i < kImages; ++i) {
    const auto row = std::span(logits).subspan(static_cast<size_t>(i * kClasses), kClasses);
    const float right = row[static_cast<size_t>(source->label(i))];
    double sum = 0;
    for (const float logit : row) {
      sum += std::exp(static_cast<double>(logit) - static_cast<double>(right));
    }
    loss += std::log(sum) / kImages;
    const auto better = std::ranges::count_if(row, [right](float logit) { return logit > right; });
    wrong += better >= 1 ? 1 : 0;
    not_in_five += better >= 5 ? 1 : 0;
  }
  const Metrics got = net.evaluate(source, {.batch_size = 4});
  ASSERT_TRUE(std::isfinite(got.loss));
  EXPECT_NEAR(got.loss, loss, 1e-5 * loss);
  EXPECT_NEAR(got.top1_error, 100.0 * static_cast<double>(wrong) / kImages, 1e-9);
  EXPECT_NEAR(got.top5_error, 100.0 * static_cast<double>(not_in_five) / kImages, 1e-9);
}

TEST_P(EvaluatorTest, UsesTheRunningStatistics) {
  Trained net(GetParam());
  const auto source = random_images();
  const double before = net.evaluate(source, {.batch_size = 13}).loss;
  const Tensor& variance = net.store.statistics_arena().running_variance;
  variance.copy_from(std::vector<float>(static_cast<size_t>(variance.size()), 40.0f));
  EXPECT_GT(std::abs(net.evaluate(source, {.batch_size = 13}).loss - before), 1e-3);
}

TEST_P(EvaluatorTest, ChangesNothing) {
  Trained net(GetParam());
  const auto source = random_images();
  const std::vector<float> weights = net.store.matrices().master.to_vector();
  const std::vector<float> mean = net.store.statistics_arena().running_mean.to_vector();
  const std::vector<float> variance = net.store.statistics_arena().running_variance.to_vector();
  const Metrics first = net.evaluate(source, {.batch_size = 5});
  const Metrics second = net.evaluate(source, {.batch_size = 5});
  EXPECT_EQ(first.loss, second.loss);
  EXPECT_EQ(net.store.matrices().master.to_vector(), weights);
  EXPECT_EQ(net.store.statistics_arena().running_mean.to_vector(), mean);
  EXPECT_EQ(net.store.statistics_arena().running_variance.to_vector(), variance);
  EXPECT_FALSE(net.store.matrices().gradient.defined());
  EXPECT_FALSE(net.store.matrices().velocity.defined());
}

TEST_P(EvaluatorTest, LeavesOutWhatCannotBeRead) {
  Trained net(GetParam());
  const auto source = random_images();
  const Metrics want = one_by_one(net, source, 6);
  for (const bool pad : {false, true}) {
    expect_same(net.evaluate(std::make_shared<const OneMissing>(source, 6), {.batch_size = 5, .pad_last = pad}), want);
  }
  const auto only = std::make_shared<const Subset>(std::make_shared<const OneMissing>(source, 6), std::vector<int64_t>{6});
  EXPECT_TRUE(fails_with([&] { net.evaluate(only, {.batch_size = 5}); },
                         {"none of the 1 images to evaluate could be read", "is missing"}));
}

TEST_P(EvaluatorTest, StopsWhenItIsAsked) {
  Trained net(GetParam());
  const Kinds<Protocol> protocols;
  EvaluationLoader loader(random_images(), protocols.at("protocol", "center"), kSize, {.batch_size = 4});
  int asked = 0;
  EXPECT_FALSE(net.evaluator.evaluate(&loader, [&] { return ++asked == 3; }).has_value());
  EXPECT_EQ(asked, 3);
  expect_same(net.evaluator.evaluate(loader), one_by_one(net, random_images()));
}

TEST_P(EvaluatorTest, RefusesALoaderThatIsForTraining) {
  Trained net(GetParam());
  EXPECT_THROW(net.evaluate(random_images(), {.batch_size = 4, .bad_images = BadImages::replace}), UsageError);
  EXPECT_THROW(net.evaluate(random_images(), {.batch_size = 4, .drop_last = true}), UsageError);
  EXPECT_THROW(net.evaluate(random_images(), {.batch_size = 4, .shuffle = true}), UsageError);
}

}  // namespace
}  // namespace residua::test
