#include "core/evaluate/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "core/autograd/no_grad.h"
#include "core/config/settings.h"
#include "core/data/codecs/resize.h"
#include "core/data/views/center.h"
#include "tests/evaluate/trained.h"
#include "tests/support/compare.h"
#include "tests/support/mirrored.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;

class ProtocolTest : public ::testing::TestWithParam<Device> {};

INSTANTIATE_TEST_SUITE_P(All, ProtocolTest, ::testing::ValuesIn(test_devices()),
                         [](const auto& info) { return info.param.type == Device::Type::cpu ? "cpu" : "cuda"; });

/// The network's probabilities for one input.
std::vector<double> probabilities(Trained& net, const Tensor& x) {
  const NoGrad no_grad;
  std::vector<double> p;
  double sum = 0;
  for (const float logit : net.model.forward(x, Mode::evaluate).to_vector()) {
    p.push_back(std::exp(static_cast<double>(logit)));
    sum += p.back();
  }
  std::ranges::for_each(p, [sum](double& value) { value /= sum; });
  return p;
}

/// The input that the network has of an image's center at `size` pixels.
Tensor center_input(const Trained& net, const Image& image, int64_t size) {
  const Resize resize = center_view(image.size(), size).resize;
  const Rect region = source_region(resize);
  Image part;
  part.reset({region.height, region.width});
  for (int64_t y = 0; y < region.height; ++y) {
    std::copy_n(image.row(region.top + y) + region.left * 3, region.width * 3, part.row(y));
  }
  const Tensor pixels = empty({1, size, size, 3}, DType::u8);
  ResizeMemory memory;
  scale(resize, part, pixels.data<uint8_t>(), memory);
  InputFormat format = net.format;
  format.height = format.width = size;
  const std::array<SampleView, 1> plain = {};
  return prepare_input(pixels.to(net.device), view_tensor(plain, net.device), format);
}

/// The protocol two-sizes from its definition: each view alone, its mean made in double.
Metrics two_sizes_by_hand(Trained& net, const ImageSource& source, const std::set<int64_t>& without = {}) {
  Metrics sum;
  for (int64_t i = 0; i < source.size(); ++i) {
    if (without.contains(i)) {
      continue;
    }
    const Image image = source.load(i);
    const Tensor x = center_input(net, image, kSize);
    std::vector<double> mean(kClasses);
    for (const Tensor& view : {x, mirrored(x), center_input(net, image, kSize * 3 / 2)}) {
      const std::vector<double> p = probabilities(net, view);
      for (size_t c = 0; c < mean.size(); ++c) {
        mean[c] += p[c] / 3;
      }
    }
    const double right = mean[static_cast<size_t>(source.label(i))];
    const auto better = std::ranges::count_if(mean, [right](double p) { return p > right; });
    sum.images += 1;
    sum.loss -= std::log(right);
    sum.top1_error += better >= 1 ? 100 : 0;
    sum.top5_error += better >= 5 ? 100 : 0;
  }
  const auto n = static_cast<double>(sum.images);
  return {.images = sum.images, .loss = sum.loss / n, .top1_error = sum.top1_error / n, .top5_error = sum.top5_error / n};
}

void expect_same(const Metrics& got, const Metrics& want) {
  EXPECT_EQ(got.images, want.images);
  ASSERT_TRUE(std::isfinite(got.loss));
  EXPECT_NEAR(got.loss, want.loss, 1e-5 * want.loss);
  EXPECT_NEAR(got.top1_error, want.top1_error, 1e-9);
  EXPECT_NEAR(got.top5_error, want.top5_error, 1e-9);
}

TEST_P(ProtocolTest, ASampleIsEvaluatedByAllItsViews) {
  Trained net(GetParam());
  const auto source = random_images();
  const Metrics want = two_sizes_by_hand(net, *source);
  EXPECT_GT(std::abs(net.evaluate(source, {.batch_size = 4}).loss - want.loss), 1e-3) << "the center view alone is another";
  for (const int64_t batch : {1, 9, 100}) {
    for (const bool pad : {false, true}) {
      for (const int64_t workers : {0, 2}) {
        SCOPED_TRACE(fmt::format("batch {}, padded {}, {} workers", batch, pad, workers));
        expect_same(net.evaluate(source, {.batch_size = batch, .pad_last = pad, .workers = workers}, "two-sizes"), want);
      }
    }
  }
}

/// A source of which some images can be read once and never again: the first pass has them, and the second has not.
class ReadOnce final : public ImageSource {
 public:
  ReadOnce(std::shared_ptr<const ImageSource> source, std::set<int64_t> once)
      : source_(std::move(source)), left_(std::move(once)) {}
  int64_t size() const override { return source_->size(); }
  const std::vector<std::string>& class_names() const override { return source_->class_names(); }
  int32_t label(int64_t i) const override { return source_->label(i); }
  std::string name(int64_t i) const override { return source_->name(i); }
  std::optional<ImageSize> fixed_size() const override { return source_->fixed_size(); }
  void read(int64_t i, EncodedImage& out) const override {
    if (gone_.contains(i)) {
      fail("{}: is gone", name(i));
    }
    if (left_.erase(i) > 0) {
      gone_.insert(i);
    }
    source_->read(i, out);
  }

 private:
  std::shared_ptr<const ImageSource> source_;
  mutable std::set<int64_t> left_;
  mutable std::set<int64_t> gone_;
};

TEST_P(ProtocolTest, LeavesOutWhatOnePassCannotRead) {
  Trained net(GetParam());
  const auto source = random_images();
  for (const bool pad : {false, true}) {
    expect_same(net.evaluate(std::make_shared<const OneMissing>(source, 6), {.batch_size = 9, .pad_last = pad}, "two-sizes"),
                two_sizes_by_hand(net, *source, {6}));
    expect_same(net.evaluate(std::make_shared<const ReadOnce>(source, std::set<int64_t>{2, 12}),
                             {.batch_size = 9, .pad_last = pad}, "two-sizes"),
                two_sizes_by_hand(net, *source, {2, 12}));
  }
}

// The mean image has 90 in one half and 150 in the other. Views of its size subtract it, others its mean, 120.
TEST_P(ProtocolTest, SubtractsAMeanImagesChannelMeansFromViewsOfAnotherSize) {
  Trained net(GetParam());
  const auto source = random_images();
  const auto evaluate = [&](const Tensor& mean, const std::string& protocol) {
    InputFormat format = net.format;
    format.mean = mean;
    Evaluator evaluator(net.model, format, net.device);
    const Kinds<Protocol> protocols;
    EvaluationLoader loader(source, protocols.at("protocol", protocol), kSize, {.batch_size = 9});
    const Metrics first = evaluator.evaluate(loader);
    expect_same(evaluator.evaluate(loader), first);
    return first;
  };
  std::vector<float> halves(kSize * kSize * 3, 90.0f);
  std::fill(halves.begin() + kSize * kSize * 3 / 2, halves.end(), 150.0f);
  const Tensor image = from_values({kSize, kSize, 3}, halves, DType::f32, net.device);
  const Tensor channels = full({3}, 120.0f, DType::f32, net.device);
  EXPECT_GT(std::abs(evaluate(image, "center").loss - evaluate(channels, "center").loss), 1e-4);
  expect_same(evaluate(image, "larger"), evaluate(channels, "larger"));
  expect_same(evaluate(full({kSize, kSize, 3}, 120.0f, DType::f32, net.device), "two-sizes"),
              net.evaluate(source, {.batch_size = 9}, "two-sizes"));
}

TEST(EvaluationLoader, HasBatchesOfTheSameSamplesInNoMoreMemory) {
  const Kinds<Protocol> protocols;
  EvaluationLoader loader(random_images(), protocols.at("protocol", "two-sizes"), kSize, {.batch_size = 9});
  EXPECT_EQ(loader.views(), 3);
  std::vector<int64_t> seen;
  loader.start();
  for (auto batches = loader.next(); !batches.empty(); batches = loader.next()) {
    ASSERT_EQ(batches.size(), 2U);
    // 4 samples: 8 views of 12 x 12 and 4 of 18 x 18 pixels have at most the 1,296 of 9 views of 12 x 12.
    ASSERT_EQ(batches[0]->samples.size(), seen.size() < 12 ? 4U : 1U);
    EXPECT_EQ(batches[0]->labels.size(), 2 * batches[0]->size());
    EXPECT_EQ(batches[1]->labels.size(), batches[1]->size());
    EXPECT_EQ(batches[0]->height, 12);
    EXPECT_EQ(batches[1]->height, 18);
    EXPECT_TRUE(std::ranges::equal(batches[0]->samples, batches[1]->samples));
    seen.insert(seen.end(), batches[0]->samples.begin(), batches[0]->samples.end());
  }
  EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
}

TEST(EvaluationLoader, CountsEachBadImageOnceWhicheverPassMetIt) {
  const Kinds<Protocol> protocols;
  const auto source =
      std::make_shared<const ReadOnce>(std::make_shared<const OneMissing>(random_images(), 6), std::set<int64_t>{2});
  EvaluationLoader loader(source, protocols.at("protocol", "two-sizes"), kSize, {.batch_size = 9, .max_bad_images = 2});
  loader.start();
  while (!loader.next().empty()) {
  }
  EXPECT_EQ(loader.errors().count(), 2) << "6 in both passes, and 2 in the second one";
  EXPECT_EQ(loader.errors().take_new().size(), 2U);
}

TEST(EvaluationLoader, RefusesAProtocolThatShowsNothing) {
  struct Nothing final : Protocol {
    std::vector<EvaluationPass> passes(int64_t) const override { return {}; }
  };
  struct NoViews final : Protocol {
    std::vector<EvaluationPass> passes(int64_t input_size) const override { return {{.input_size = input_size}}; }
  };
  EXPECT_THROW(EvaluationLoader(random_images(), Nothing(), kSize, {.batch_size = 4}), UsageError);
  EXPECT_THROW(EvaluationLoader(random_images(), NoViews(), kSize, {.batch_size = 4}), UsageError);
}

TEST(Averages, AreOfLogitsOrOfProbabilities) {
  const std::vector<float> logits = {1, 2, 4, /**/ -1, 3, 0};
  std::vector<float> scores(3);
  average_views(Average::logits, logits, scores);
  EXPECT_THAT(scores, ElementsAre(0, 2.5f, 2));
  average_views(Average::softmax, logits, scores);
  const double one = std::exp(1.0) + std::exp(2.0) + std::exp(4.0);
  const double two = std::exp(-1.0) + std::exp(3.0) + std::exp(0.0);
  for (size_t c = 0; c < 3; ++c) {
    const double p = (std::exp(static_cast<double>(logits[c])) / one + std::exp(static_cast<double>(logits[3 + c])) / two) / 2;
    EXPECT_NEAR(std::exp(static_cast<double>(scores[c])), p, 1e-7);
  }
  const std::vector<float> one_view = {1, 2, 4};
  average_views(Average::softmax, one_view, scores);
  EXPECT_THAT(scores, ElementsAre(1, 2, 4)) << "nothing to average";
  const std::vector<float> small = {0, -3000, /**/ 0, -4000};
  scores.resize(2);
  average_views(Average::softmax, small, scores);
  EXPECT_NEAR(scores[1], -3000 - std::log(2), 1e-3) << "too small for a double";
  const std::vector<float> broken = {0, std::numeric_limits<float>::quiet_NaN(), /**/ 0, 1};
  average_views(Average::softmax, broken, scores);
  EXPECT_TRUE(std::isnan(scores[0]) && std::isnan(scores[1]));
  average_views(Average::logits, broken, scores);
  EXPECT_TRUE(std::isnan(scores[1]));
}

TEST(EvaluationOptions, NameARegisteredProtocol) {
  EvaluationOptions options;
  Settings settings;
  declare(settings, options);
  EXPECT_EQ(options.chosen().passes(32).size(), 1U);
  settings.assign("protocol", {"two-sizes"}, Layer::command_line);
  EXPECT_EQ(options.chosen().passes(32).size(), 2U);
  EXPECT_EQ(options.average, Average::softmax);
  settings.assign("average", {"logits"}, Layer::command_line);
  EXPECT_EQ(options.average, Average::logits);
  EXPECT_EQ(count_views(options.protocols.at("protocol", "ten-crop"), 224), 10);
  EXPECT_EQ(count_views(options.protocols.at("protocol", "multi-scale"), 224), 10);
  EXPECT_TRUE(fails_with([&] { settings.assign("protocol", {"centre"}, Layer::command_line); }, {"protocol", "center"}));
}

}  // namespace
}  // namespace residua::test
