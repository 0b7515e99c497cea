#include "core/evaluate/exact_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/autograd/no_grad.h"
#include "core/nn/conv_bn.h"
#include "tests/evaluate/trained.h"
#include "tests/support/compare.h"
#include "tests/support/thread_ranks.h"

namespace residua::test {
namespace {

constexpr int64_t kBatch = 4;
constexpr int64_t kGroup = 3;
constexpr int64_t kCounted = 18;  // images: one epoch of 13, and 5 of the next

/// Two convolutions, each with its norm.
struct TwoNorms : Module {
  explicit TwoNorms(int64_t input_channels)
      : conv1({.in_channels = 3, .out_channels = 5, .kernel = 3, .stored_in_channels = input_channels}),
        conv2({.in_channels = 5, .out_channels = 7, .kernel = 3, .stride = 2}),
        bn1(5),
        bn2(7) {
    add_child("conv1", conv1);
    add_child("bn1", bn1);
    add_child("conv2", conv2);
    add_child("bn2", bn2);
  }
  Tensor forward(const Tensor& x, Mode mode) override {
    return norm_relu(conv_bn(conv2, bn2, conv_bn(conv1, bn1, x, mode), mode));
  }
  Shape summarize(const std::string&, const Shape& input, std::vector<LayerSummary>&) const override { return input; }

  Conv2d conv1, conv2;
  BatchNorm2d bn1, bn2;
};

/// E[x] and E[x^2] - E[x]^2 of each channel.
struct Sums {
  explicit Sums(size_t channels) : mean(channels), square(channels) {}
  void add(const Tensor& x) {
    const std::vector<float> values = x.to_vector();
    for (size_t i = 0; i < values.size(); ++i) {
      const auto value = static_cast<double>(values[i]);
      mean[i % mean.size()] += value;
      square[i % mean.size()] += value * value;
    }
    count += static_cast<double>(values.size() / mean.size());
  }
  std::pair<HostArray, HostArray> result() const {
    std::pair<HostArray, HostArray> r{mean, square};
    for (size_t c = 0; c < mean.size(); ++c) {
      r.first[c] /= count;
      r.second[c] = r.second[c] / count - r.first[c] * r.first[c];
    }
    return r;
  }

  HostArray mean, square;
  double count = 0;
};

struct Measured {
  Measured(Device device, DType precision, float input_mean)
      : device(device),
        model(stored_input_channels(precision)),
        store(model, {.device = device, .compute = precision, .purpose = Purpose::inference}),
        format({.channels = stored_input_channels(precision),
                .dtype = precision,
                .mean = full({3}, input_mean, DType::f32, device),
                .inverse_std = full({3}, 0.015f, DType::f32, device)}) {
    initialize(store, 5);
    store.set_group_images(kGroup);
  }

  bool compute(const std::function<bool()>& stop, Communicator* ranks = nullptr) {
    Loader images(random_images(), options);
    return compute_exact_statistics(model, store, format, images, counted, stop, ranks);
  }

  /// The inputs of both norms, computed by simple ops, in double sums.
  std::pair<Sums, Sums> wanted() {
    const NoGrad no_grad;
    std::pair<Sums, Sums> sums{Sums(5), Sums(7)};
    Loader images(random_images(), options);
    int64_t left = counted;
    for (int64_t epoch = 0; left > 0; ++epoch) {
      images.start(epoch);
      for (const Batch* batch = images.next(); batch != nullptr && left > 0; batch = images.next()) {
        const Batch part = rows_of(*batch, 0, std::min(left, batch->labels.size()));
        left -= part.labels.size();
        InputFormat input = format;
        input.height = input.width = kSize;
        const Tensor x = conv2d(prepare_input(part.images.to(device), part.views.to(device), input), model.conv1.weight.value,
                                model.conv1.options());
        BatchNormTensors p{.gamma = model.bn1.weight.value,
                           .beta = model.bn1.bias.value,
                           .running_mean = {},
                           .running_var = {},
                           .batch_mean = {},
                           .batch_var = {}};
        p.group_images = group;
        sums.first.add(x);
        sums.second.add(conv2d(batch_norm_relu(x, p, Mode::train), model.conv2.weight.value, model.conv2.options()));
      }
    }
    return sums;
  }

  Device device;
  TwoNorms model;
  ParameterStore store;
  InputFormat format;
  LoaderOptions options{.batch_size = kBatch, .crop_size = kSize, .shuffle = true, .seed = 3};
  int64_t group = kGroup;  // of wanted()
  int64_t counted = kCounted;
};

void expect_sums(const RunningStatistics& statistics, const Sums& sums) {
  const auto [mean, variance] = sums.result();
  EXPECT_TRUE(close(statistics.running_mean, mean, 1e-5)) << statistics.name;
  EXPECT_TRUE(close(statistics.running_variance, variance, 1e-4)) << statistics.name;
}

TEST(ExactStatistics, AreThoseOfTheSameImagesInDoublePrecision) {
  for (const Device device : test_devices()) {
    for (const DType precision : {DType::f32, DType::bf16}) {
      // The second mean puts the first layer's inputs far from zero.
      for (const float mean : {120.0f, -2000.0f}) {
        SCOPED_TRACE(fmt::format("{} {}, mean {}", device.string(), name(precision), mean));
        Measured m(device, precision, mean);
        ASSERT_TRUE(m.compute([] { return false; }));
        const auto [first, second] = m.wanted();
        EXPECT_EQ(first.count, kCounted * 10.0 * 10.0);
        expect_sums(m.model.bn1.statistics, first);
        expect_sums(m.model.bn2.statistics, second);
      }
    }
  }
}

// Each rank normalizes its part of a batch, as a group. Of the last batch, one has fewer images to take, or none.
TEST(ExactStatistics, OfRanksAreThoseOfTheSameImagesInGroups) {
  constexpr int64_t kRanks = 2;
  for (const int64_t counted : {19, 17}) {  // an epoch has three whole batches
    Measured one({}, DType::f32, 120);
    one.options.drop_last = true;
    one.group = kBatch / kRanks;
    one.counted = counted;
    const auto [first, second] = one.wanted();
    EXPECT_EQ(first.count, static_cast<double>(counted) * 10.0 * 10.0);
    run_ranks(kRanks, [&, &of_first = first, &of_second = second](Communicator& ranks) {
      SCOPED_TRACE(fmt::format("{} of {} images", ranks.describe(ranks.rank()), counted));
      Measured m({}, DType::f32, 120);
      m.options.drop_last = true;
      m.options.rank = ranks.rank();
      m.options.world = kRanks;
      m.counted = counted;
      ASSERT_TRUE(m.compute([] { return false; }, &ranks));
      expect_sums(m.model.bn1.statistics, of_first);
      expect_sums(m.model.bn2.statistics, of_second);
    });
  }
}

TEST(ExactStatistics, LeaveTrainingAsItWas) {
  Measured m({}, DType::f32, 120);
  const Tensor x = full({4, 12, 12, 3}, 0.5f, DType::f32);
  m.store.set_group_images(0);
  m.model.forward(x, Mode::train);
  const std::vector<float> correction = m.store.statistics_arena().bessel_correction.to_vector();
  ASSERT_TRUE(m.compute([] { return false; }));
  EXPECT_FALSE(m.model.bn1.statistics.totals.defined());
  EXPECT_EQ(m.store.statistics_arena().bessel_correction.to_vector(), correction)
      << "a graph that was captured before must find its own";
}

TEST(ExactStatistics, LeaveFrozenLayersAsTheyAre) {
  Measured m({}, DType::f32, 120);
  m.model.bn1.statistics.running_mean.copy_from(std::vector<float>(5, 0.25f));
  m.model.bn1.statistics.running_variance.copy_from(std::vector<float>(5, 4.0f));
  m.store.freeze_until("bn1");
  ASSERT_TRUE(m.compute([] { return false; }));
  EXPECT_EQ(m.model.bn1.statistics.running_mean.to_vector(), std::vector<float>(5, 0.25f));
  EXPECT_EQ(m.model.bn1.statistics.running_variance.to_vector(), std::vector<float>(5, 4.0f));
  EXPECT_NE(m.model.bn2.statistics.running_variance.to_vector(), std::vector<float>(7, 1.0f));
}

TEST(ExactStatistics, AreTheSameEachTime) {
  Measured m({}, DType::f32, 120);
  ASSERT_TRUE(m.compute([] { return false; }));
  const std::vector<float> once = m.store.statistics_arena().running_variance.to_vector();
  ASSERT_TRUE(m.compute([] { return false; }));
  EXPECT_EQ(m.store.statistics_arena().running_variance.to_vector(), once);
}

TEST(ExactStatistics, ChangeNothingIfStoppedOrNotFinite) {
  Measured m({}, DType::f32, 120);
  const std::vector<float> before = m.store.statistics_arena().running_variance.to_vector();
  int batches = 0;
  EXPECT_FALSE(m.compute([&] { return ++batches == 3; }));
  EXPECT_EQ(m.store.statistics_arena().running_variance.to_vector(), before);
  m.model.conv2.weight.master.data<float>()[3] = std::nanf("");
  m.store.masters_changed();
  EXPECT_TRUE(fails_with([&] { m.compute([] { return false; }); }, {"bn2: channel 0", "nan", "wanted finite"}));
  EXPECT_EQ(m.store.statistics_arena().running_variance.to_vector(), before);
}

}  // namespace
}  // namespace residua::test
