#include "core/evaluate/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "core/data/sources/memory_source.h"
#include "core/evaluate/predictions.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Six images of the classes a, b, c.
std::shared_ptr<const ImageSource> six_images() {
  return std::make_shared<const MemorySource>(
      MemorySource::Contents{"six images", {1, 1}, std::vector<uint8_t>(18), {0, 0, 0, 1, 1, 2}, {"a", "b", "c"}});
}

/// Label 0 is once right and twice taken for 2; label 1 is right and taken for 0; label 2 is right.
std::vector<ImageResult> six_results() {
  ImageResults results;
  const std::vector<int64_t> samples = {0, 1, 2, 3, 4, 5};
  const std::vector<int32_t> labels = {0, 0, 0, 1, 1, 2};
  const std::vector<float> scores = {3, 1, 0, /**/ 0, 1, 2, /**/ 0, 0, 5, /**/ 0, 1, 0, /**/ 1, 0, 0, /**/ 0, 0, 1};
  results.scored(samples, labels, scores);
  return results.all();
}

TEST(ImageResult, HasRankLossAndTheFiveBest) {
  // exp of the scores: 1, e^2, e, e^2, 1, 1/e, e^-2. The label 3 ties with class 1, whose index is lower.
  const std::vector<float> scores = {0, 2, 1, 2, 0, -1, -2};
  const ImageResult result = image_result(7, 3, scores);
  const double e = std::exp(1.0);
  const double sum = 2 + 2 * e * e + e + 1 / e + 1 / e / e;
  EXPECT_EQ(result.index, 7);
  EXPECT_EQ(result.rank, 1);
  EXPECT_TRUE(result.top1_error());
  EXPECT_FALSE(result.top5_error());
  EXPECT_NEAR(result.probability, e * e / sum, 1e-12);
  EXPECT_NEAR(result.loss, std::log(sum) - 2, 1e-12);
  ASSERT_EQ(result.best.size(), 5U);
  std::vector<int32_t> order;
  for (const ImageResult::Guess& guess : result.best) {
    order.push_back(guess.class_index);
  }
  EXPECT_THAT(order, ElementsAre(1, 3, 2, 0, 4));
  EXPECT_NEAR(result.best[2].probability, e / sum, 1e-12);
  EXPECT_FALSE(image_result(0, 4, scores).top5_error()) << "class 4 is the fifth";
  EXPECT_TRUE(image_result(0, 5, scores).top5_error());
  EXPECT_EQ(image_result(0, 1, scores).rank, 0);
}

TEST(ImageResult, OfLargeScoresIsFinite) {
  const std::vector<float> scores = {-4000, 5000};
  EXPECT_NEAR(image_result(0, 0, scores).loss, 9000, 1e-9);
  EXPECT_NEAR(image_result(0, 1, scores).loss, 0, 1e-9);
}

TEST(ImageResult, WithANaNIsWrong) {
  const std::vector<float> scores = {5, kNaN, 0};
  const ImageResult result = image_result(0, 0, scores);
  EXPECT_TRUE(result.top1_error());
  EXPECT_TRUE(std::isnan(result.loss));
  EXPECT_TRUE(std::isnan(result.probability));
  EXPECT_EQ(result.best.size(), 3U);
}

TEST(ImageResults, LeaveOutWhatHasNoLabel) {
  ImageResults results;
  const std::vector<int64_t> samples = {4, 9};
  const std::vector<int32_t> labels = {-1, 1};
  const std::vector<float> scores = {1, 0, 0, 1};
  results.scored(samples, labels, scores);
  ASSERT_EQ(results.all().size(), 1U);
  EXPECT_EQ(results.all()[0].index, 9);
  EXPECT_EQ(results.all()[0].rank, 0);
}

// By hand with z^2 = 3.841459: of 10 in 100 the center is (0.1 + 0.01920729) / 1.03841459 = 0.11479740 and the radius
// 1.95996398 * sqrt(0.0009 + 0.0000960365) / 1.03841459 = 0.05956826.
TEST(ErrorRate, HasWilsonsInterval) {
  const ErrorRate ten = error_rate(10, 100);
  EXPECT_EQ(ten.errors, 10);
  EXPECT_DOUBLE_EQ(ten.percent, 10);
  EXPECT_NEAR(ten.low, 5.522914, 1e-4);
  EXPECT_NEAR(ten.high, 17.436566, 1e-4);
  // Without an error the bounds are 0 and z^2 / (n + z^2); with all wrong, their mirror images.
  EXPECT_NEAR(error_rate(0, 20).low, 0, 1e-9);
  for (int64_t n = 1; n < 300; ++n) {
    EXPECT_GE(error_rate(0, n).low, 0) << n;
    EXPECT_LE(error_rate(n, n).high, 100) << n;
  }
  EXPECT_NEAR(error_rate(0, 20).high, 100 * 3.8414588 / 23.8414588, 1e-5);
  EXPECT_NEAR(error_rate(20, 20).low, 100 - 100 * 3.8414588 / 23.8414588, 1e-5);
  EXPECT_NEAR(error_rate(20, 20).high, 100, 1e-9);
  EXPECT_TRUE(std::isnan(error_rate(0, 0).percent));
  EXPECT_TRUE(std::isnan(error_rate(0, 0).low));
}

TEST(EvaluationReport, CountsByClassAndByPair) {
  const EvaluationReport report = evaluation_report(six_results(), 3);
  EXPECT_EQ(report.images, 6);
  EXPECT_EQ(report.top1.errors, 3);
  EXPECT_DOUBLE_EQ(report.top1.percent, 50);
  EXPECT_EQ(report.top5.errors, 0) << "there are three classes";
  ASSERT_EQ(report.classes.size(), 3U);
  EXPECT_EQ(report.classes[0].images, 3);
  EXPECT_EQ(report.classes[0].top1_errors, 2);
  EXPECT_EQ(report.classes[1].images, 2);
  EXPECT_EQ(report.classes[1].top1_errors, 1);
  EXPECT_EQ(report.classes[2].images, 1);
  EXPECT_EQ(report.classes[2].top1_errors, 0);
  ASSERT_EQ(report.confusions.size(), 2U);
  EXPECT_EQ(report.confusions[0].label, 0);
  EXPECT_EQ(report.confusions[0].guess, 2);
  EXPECT_EQ(report.confusions[0].images, 2);
  EXPECT_EQ(report.confusions[1].label, 1);
  EXPECT_EQ(report.confusions[1].guess, 0);
  EXPECT_EQ(report.confusions[1].images, 1);
  // The losses of the wrong ones: log(2 + e^5), log(1 + e + e^2) and log(2 + e).
  ASSERT_EQ(report.worst.size(), 3U);
  EXPECT_EQ(report.worst[0].index, 2);
  EXPECT_NEAR(report.worst[0].loss, std::log(2 + std::exp(5.0)), 1e-9);
  EXPECT_EQ(report.worst[1].index, 1);
  EXPECT_EQ(report.worst[2].index, 4);
  EXPECT_NEAR(report.worst[2].loss, std::log(2 + std::exp(1.0)), 1e-9);
}

TEST(EvaluationReport, KeepsTheHundredWorstAndPutsNaNFirst) {
  ImageResults results;
  for (int64_t i = 0; i < 150; ++i) {
    const std::vector<float> scores = {i == 20 ? kNaN : 0.0f, static_cast<float>(i + 1)};
    const std::vector<int64_t> sample = {i};
    const std::vector<int32_t> label = {0};
    results.scored(sample, label, scores);
  }
  const EvaluationReport report = evaluation_report(results.all(), 2);
  ASSERT_EQ(report.worst.size(), 100U);
  EXPECT_EQ(report.worst[0].index, 20);
  EXPECT_EQ(report.worst[1].index, 149);
  EXPECT_EQ(report.worst[99].index, 51);
}

TEST(EvaluationReport, IsWrittenAsJsonAndInAFewLines) {
  const auto source = six_images();
  const EvaluationReport report = evaluation_report(six_results(), 3);
  const nlohmann::json json = to_json(report, *source);
  EXPECT_EQ(json["images"], 6);
  EXPECT_EQ(json["top1_errors"], 3);
  EXPECT_EQ(json["top1_error"], 50.0);
  EXPECT_EQ(json["top1_interval"].size(), 2U);
  EXPECT_EQ(json["classes"][0], nlohmann::json({{"name", "a"}, {"images", 3}, {"top1_errors", 2}, {"top5_errors", 0}}));
  EXPECT_EQ(json["confusions"][0], nlohmann::json({{"label", "a"}, {"guess", "c"}, {"images", 2}}));
  EXPECT_EQ(json["worst"][0]["name"], source->name(2));
  EXPECT_EQ(json["worst"][0]["label"], "a");
  EXPECT_EQ(json["worst"][0]["guess"], "c");
  const std::string text = summary(report, *source);
  EXPECT_THAT(text, HasSubstr("top-1 error 18.76 to 81.24 %"));  // (0.5 +- sqrt(1/24 + z^2/144) z / (1 + z^2/6)) by hand
  EXPECT_THAT(text, HasSubstr("a 2 of 3; b 1 of 2"));
  EXPECT_THAT(text, HasSubstr("a taken for c: 2; b taken for a: 1"));
  EXPECT_THAT(text, HasSubstr(source->name(2) + " (5.01, taken for c)"));
}

TEST(Predictions, AreALineForEachImage) {
  const TemporaryFolder folder;
  const auto source = six_images();
  write_predictions(folder / "p.jsonl", six_results(), *source);
  std::istringstream lines(read_bytes(folder / "p.jsonl"));
  std::vector<nlohmann::json> objects;
  for (std::string line; std::getline(lines, line);) {
    objects.push_back(nlohmann::json::parse(line));
  }
  ASSERT_EQ(objects.size(), 6U);
  EXPECT_EQ(objects[1]["index"], 1);
  EXPECT_EQ(objects[1]["name"], source->name(1));
  EXPECT_EQ(objects[1]["label"], 0);
  EXPECT_EQ(objects[1]["class"], "a");
  ASSERT_EQ(objects[1]["top5"].size(), 3U);
  EXPECT_EQ(objects[1]["top5"][0]["label"], 2);
  EXPECT_EQ(objects[1]["top5"][0]["class"], "c");
  const double e = std::exp(1.0);
  EXPECT_NEAR(objects[1]["top5"][0]["probability"].get<double>(), e * e / (1 + e + e * e), 1e-12);
  EXPECT_NEAR(objects[1]["loss"].get<double>(), std::log(1 + e + e * e), 1e-12);
}

}  // namespace
}  // namespace residua::test
