// Each setting of a run reaches its component: two short runs that differ in it alone are told apart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/own_setting.h"
#include "tests/train/short_run.h"

namespace residua::test {
namespace {

using Check = std::function<void(const ShortRun& one, const ShortRun& other)>;

/// A setting, two values of it, and what tells their runs apart. `common` is set in both.
struct Row {
  std::string name;
  Flags common;
  Words one;
  Words other;
  Check check;
};

void other_weights(const ShortRun& a, const ShortRun& b) {
  ASSERT_TRUE(a.ended_well() && b.ended_well());
  EXPECT_NE(a.last, b.last);
}

void other_first_weights(const ShortRun& a, const ShortRun& b) {
  ASSERT_TRUE(a.ended_well() && b.ended_well());
  EXPECT_NE(a.first, b.first);
}

void farther(const ShortRun& a, const ShortRun& b) {
  ASSERT_TRUE(a.ended_well() && b.ended_well());
  EXPECT_GT(b.distance(), 1.2 * a.distance());
}

void smaller_weights(const ShortRun& a, const ShortRun& b) {
  ASSERT_TRUE(a.ended_well() && b.ended_well());
  EXPECT_LT(norm(b.last), 0.95 * norm(a.last));
}

void only_the_first_fails(const ShortRun& a, const ShortRun& b) {
  EXPECT_THAT(a.error, testing::HasSubstr("cannot be read"));
  EXPECT_TRUE(b.ended_well());
}

/// The runs have these learning rates.
Check rates(const std::vector<double>& one, const std::vector<double>& other) {
  return [=](const ShortRun& a, const ShortRun& b) {
    ASSERT_TRUE(a.ended_well() && b.ended_well());
    EXPECT_THAT(a.rates, testing::Pointwise(testing::DoubleNear(1e-9), one));
    EXPECT_THAT(b.rates, testing::Pointwise(testing::DoubleNear(1e-9), other));
  };
}

/// `member` of the runs is this.
template <class Get, class Value>
Check holds(Get get, Value one, Value other) {
  return [=](const ShortRun& a, const ShortRun& b) {
    ASSERT_TRUE(a.ended_well() && b.ended_well());
    EXPECT_EQ(get(a), one);
    EXPECT_EQ(get(b), other);
  };
}

/// The weights' metadata have another value of this key.
Check metadata_differs(const std::string& key) {
  return [=](const ShortRun& a, const ShortRun& b) {
    other_weights(a, b);
    EXPECT_NE(a.metadata.at(key), b.metadata.at(key));
  };
}

int64_t iteration(const ShortRun& run) { return run.state.iteration; }
int64_t classes(const ShortRun& run) { return static_cast<int64_t>(run.state.class_names.size()); }
int64_t arrays(const ShortRun& run) { return static_cast<int64_t>(run.last.size()); }
std::string first_class(const ShortRun& run) { return run.state.class_names.front(); }

const Flags kPlateau = {{"lr-schedule", {"plateau"}}, {"evaluate-every", {"0.25"}}, {"iterations", {"8"}}};

std::vector<Row> rows() {
  const std::string photos = image_folders() + "/photos";
  const std::string drawings = image_folders() + "/drawings";
  const Flags bad = {{"DIR", {photos}}, {"dataset", {"auto"}}, {"batch-size", {"8"}}, {"iterations", {"2"}}};
  return {
      {"DIR",
       {{"dataset", {"auto"}}, {"batch-size", {"8"}}},
       {photos},
       {drawings},
       holds(first_class, std::string("people"), std::string("castles"))},
      {"dataset",
       {{"DIR", {drawings}}, {"batch-size", {"8"}}},
       {"synthetic"},
       {"imagefolder"},
       holds(first_class, std::string("disc"), std::string("castles"))},
      {"synthetic-classes", {}, {"3"}, {"4"}, holds(classes, int64_t{3}, int64_t{4})},
      {"synthetic-images",
       {},
       {"32"},
       {"64"},
       holds([](const ShortRun& r) { return r.state.images; }, int64_t{32}, int64_t{64})},
      {"holdout", {}, {"0"}, {"8"}, holds([](const ShortRun& r) { return r.state.images; }, int64_t{64}, int64_t{56})},
      {"clean-train",
       {},
       {"0"},
       {"8"},
       holds([](const ShortRun& r) { return r.clean_images; }, std::vector<int64_t>{}, std::vector<int64_t>{8})},
      {"augment", {}, {"none"}, {"pad-crop"}, other_weights},
      {"crop-size", {}, {"8"}, {"16"}, metadata_differs("input_size")},
      {"color-shift", {{"augment", {"scale-crop"}}}, {"none"}, {"imagenet"}, other_weights},
      {"mean", {}, {"pixel"}, {"channel"}, other_weights},
      {"std", {}, {"0.2", "0.2", "0.2"}, {"0.4", "0.2", "0.2"}, metadata_differs("std")},
      {"no-shuffle", {{"augment", {"none"}}}, {"false"}, {"true"}, other_weights},
      {"exif",
       {{"DIR", {drawings}}, {"dataset", {"auto"}}, {"batch-size", {"8"}}, {"augment", {"none"}}},
       {"false"},
       {"true"},
       other_weights},
      {"max-bad-images", bad, {"1"}, {"2"}, only_the_first_fails},
      {"max-bad-share", bad, {"0.1"}, {"0.2"}, only_the_first_fails},
      {"max-pixels",
       {{"max-bad-images", {"8"}}, {"DIR", {photos}}, {"dataset", {"auto"}}, {"batch-size", {"8"}}},
       {"479"},
       {"480"},
       only_the_first_fails},  // 20 x 24 pixels each
      {"model", {}, {"resnet20"}, {"resnet32"}, [](const ShortRun& a, const ShortRun& b) { EXPECT_LT(arrays(a), arrays(b)); }},
      {"shortcut", {}, {"A"}, {"B"}, [](const ShortRun& a, const ShortRun& b) { EXPECT_LT(arrays(a), arrays(b)); }},
      {"shortcut-pad", {}, {"end"}, {"both"}, other_weights},
      {"shortcut-pool", {}, {"stride"}, {"average"}, other_weights},
      // Convolution 1 has 3 inputs and 16 outputs.
      {"init",
       {},
       {"fan-in"},
       {"fan-out"},
       [](const ShortRun& a, const ShortRun& b) {
         EXPECT_LT(norm(b.first, "conv1.weight"), 0.6 * norm(a.first, "conv1.weight"));
       }},
      {"zero-gamma",
       {},
       {"false"},
       {"true"},
       [](const ShortRun& a, const ShortRun& b) {
         other_weights(a, b);
         EXPECT_EQ(norm(b.first, "layer1.0.bn2.weight"), 0);
         EXPECT_GT(norm(b.last, "layer1.0.bn2.weight"), 0) << "it is trained";
         EXPECT_EQ(norm(a.first, "layer1.0.bn2.weight"), 4) << "16 ones";
         EXPECT_EQ(norm(b.first, "layer1.0.bn1.weight"), 4);
       }},
      {"batch-size", {}, {"8"}, {"16"}, holds([](const ShortRun& r) { return r.epochs.back(); }, 0.5, 1.0)},
      {"accumulate", {}, {"1"}, {"2"}, other_weights},
      {"bn-group", {}, {"0"}, {"8"}, other_weights},
      {"exact-bn", {}, {"0"}, {"20"}, holds([](const ShortRun& r) { return r.metadata.contains("exact_bn"); }, false, true)},
      {"epochs", {}, {"0.5"}, {"1.5"}, holds(iteration, int64_t{2}, int64_t{6})},
      {"iterations", {}, {"2"}, {"3"}, holds(iteration, int64_t{2}, int64_t{3})},
      {"label-smoothing", {}, {"0"}, {"0.5"}, other_weights},
      {"precision",
       {},
       {"fp32"},
       {"fp16"},
       [](const ShortRun& a, const ShortRun& b) {
         other_weights(a, b);
         EXPECT_EQ(a.state.loss_scale, 1);
         EXPECT_GT(b.state.loss_scale, 1);
       }},
      {"device",
       {},
       {"cpu"},
       {"cuda:999"},
       [](const ShortRun& a, const ShortRun& b) {
         EXPECT_TRUE(a.ended_well());
         EXPECT_FALSE(b.ended_well());
       }},
      // A device that captures nothing has one way alone; TrainStepTest holds the two against each other where there are two.
      {"cuda-graph",
       {},
       {"on"},
       {"off"},
       [](const ShortRun& a, const ShortRun& b) {
         EXPECT_TRUE(a.last == b.last);
         EXPECT_EQ(a.capture, Capture::on);
         EXPECT_EQ(b.capture, Capture::off);
       }},
      // What a plan may be is asked of CUDA's libraries alone: CudnnPlans and the cache of plans hold the two options.
      {"allow-nondeterministic",
       {},
       {"false"},
       {"true"},
       [](const ShortRun& a, const ShortRun& b) {
         EXPECT_FALSE(a.plans.nondeterministic);
         EXPECT_TRUE(b.plans.nondeterministic);
       }},
      {"allow-runtime-compilation",
       {},
       {"false"},
       {"true"},
       [](const ShortRun& a, const ShortRun& b) {
         EXPECT_FALSE(a.plans.runtime_compilation);
         EXPECT_TRUE(b.plans.runtime_compilation);
       }},
      {"seed", {}, {"1"}, {"2"}, other_first_weights},
      {"momentum", {{"weight-decay", {"0"}}}, {"0"}, {"0.9"}, farther},
      {"weight-decay", {}, {"0"}, {"1"}, smaller_weights},
      {"no-bn-decay",
       {{"weight-decay", {"1"}}},
       {"true"},
       {"false"},
       [](const ShortRun& a, const ShortRun& b) {
         ASSERT_TRUE(a.ended_well() && b.ended_well());
         EXPECT_LT(norm(b.last, "layer1.0.bn1.weight"), 0.95 * norm(a.last, "layer1.0.bn1.weight"));
       }},
      {"lr", {}, {"0.01"}, {"0.02"}, farther},
      {"lr-batch-size", {{"lr", {"0.05"}}}, {"16"}, {"32"}, rates({0.05, 0.05, 0.05, 0.05}, {0.025, 0.025, 0.025, 0.025})},
      {"lr-scaling",
       {{"lr", {"0.05"}}, {"lr-batch-size", {"4"}}},
       {"down"},
       {"linear"},
       rates({0.05, 0.05, 0.05, 0.05}, {0.2, 0.2, 0.2, 0.2})},
      {"lr-schedule", {}, {"constant"}, {"step"}, rates({0.05, 0.05, 0.05, 0.05}, {0.05, 0.05, 0.005, 0.0005})},
      {"lr-steps",
       {{"lr-schedule", {"step"}}},
       {"1"},
       {"2", "3"},
       rates({0.05, 0.005, 0.005, 0.005}, {0.05, 0.05, 0.005, 0.0005})},
      {"lr-factor",
       {{"lr-schedule", {"step"}}},
       {"0.5"},
       {"0.2"},
       rates({0.05, 0.05, 0.025, 0.0125}, {0.05, 0.05, 0.01, 0.002})},
      {"lr-patience",
       kPlateau,
       {"0"},
       {"100"},
       [](const ShortRun& a, const ShortRun& b) { EXPECT_LT(a.rates.back(), b.rates.back()); }},
      {"lr-threshold",
       kPlateau,
       {"0"},
       {"0.5"},
       [](const ShortRun& a, const ShortRun& b) {
         EXPECT_DOUBLE_EQ(a.rate_after({80, 60, 50}, "0"), 0.05);
         EXPECT_DOUBLE_EQ(b.rate_after({80, 60, 50}, "0"), 0.05 * 0.1 * 0.1);
       }},
      {"lr-final", {{"lr-schedule", {"cosine"}}, {"iterations", {"2"}}}, {"0"}, {"0.01"}, rates({0.05, 0.025}, {0.05, 0.03})},
      {"warmup-iterations", {}, {"1"}, {"2"}, rates({0.005, 0.05, 0.05, 0.05}, {0.005, 0.0275, 0.05, 0.05})},
      {"warmup-epochs", {}, {"0.25"}, {"0.5"}, rates({0.005, 0.05, 0.05, 0.05}, {0.005, 0.0275, 0.05, 0.05})},
      {"warmup",
       {{"warmup-iterations", {"2"}}},
       {"linear"},
       {"constant"},
       rates({0.005, 0.0275, 0.05, 0.05}, {0.005, 0.005, 0.05, 0.05})},
      {"warmup-lr",
       {{"warmup-iterations", {"1"}}},
       {"0.01"},
       {"0.02"},
       rates({0.01, 0.05, 0.05, 0.05}, {0.02, 0.05, 0.05, 0.05})},
      {"warmup-error",
       {{"warmup", {"until-error"}}, {"iterations", {"101"}}, {"log-every", {"1"}}, {"evaluate-every", {"100"}}},
       {"0.001"},
       {"100"},
       [](const ShortRun& a, const ShortRun& b) {
         ASSERT_TRUE(a.ended_well() && b.ended_well());
         EXPECT_EQ(a.rates, std::vector<double>(101, a.rates.front()));
         EXPECT_NEAR(b.rates[99], 0.005, 1e-9);
         EXPECT_NEAR(b.rates[100], 0.05, 1e-9);
       }},
      {"protocol",
       {},
       {"center"},
       {"two-sizes"},
       [](const ShortRun& a, const ShortRun& b) {
         ASSERT_TRUE(a.ended_well() && b.ended_well());
         EXPECT_TRUE(a.last == b.last);
         EXPECT_NE(a.validation_losses, b.validation_losses);
       }},
      {"average",
       {{"protocol", {"two-sizes"}}},
       {"softmax"},
       {"logits"},
       [](const ShortRun& a, const ShortRun& b) {
         ASSERT_TRUE(a.ended_well() && b.ended_well());
         EXPECT_TRUE(a.last == b.last);
         EXPECT_NE(a.validation_losses, b.validation_losses);
       }},
      {"log-every",
       {{"evaluate-every", {"100"}}},
       {"1"},
       {"2"},
       holds([](const ShortRun& r) { return r.rates.size(); }, size_t{4}, size_t{2})},
      {"evaluate-every",
       {},
       {"0.25"},
       {"0.5"},
       holds([](const ShortRun& r) { return r.validation_losses.size(); }, size_t{4}, size_t{2})},
  };
}

class SettingsReach : public testing::TestWithParam<Row> {};

INSTANTIATE_TEST_SUITE_P(All, SettingsReach, testing::ValuesIn(rows()), [](const auto& info) {
  std::string name = info.param.name;
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST_P(SettingsReach, TheRun) {
  const Row& row = GetParam();
  ASSERT_NE(row.one, row.other);
  const auto run = [&](const Words& words) {
    Flags flags = row.common;
    flags.emplace_back(row.name, words);
    return short_run(flags);
  };
  row.check(run(row.one), run(row.other));
}

/// Settings that two runs' results do not show; each has a test in settings_alone_test.cpp or trainer_saving_test.cpp.
const std::vector<std::string> kOnTheirOwn = {"workers", "weights", "bottleneck-stride", "recipe", "output", "resume",
                                              "overwrite", "checkpoint-every", "keep-checkpoints", "threads", "read-timeout",
                                              // Divergence, Deterministic and Ranks are their tests.
                                              "max-skipped-steps", "on-divergence", "deterministic", "rank-timeout", "sync-bn",
                                              "trace"};

TEST(SettingsReach, EverySettingHasATest) {
  std::vector<std::string> tested = kOnTheirOwn;
  for (const Row& row : rows()) {
    tested.push_back(row.name);
  }
  for (const OwnSetting& own : own_settings()) {
    tested.push_back(own.name);
  }
  std::vector<std::string> declared;
  RunConfig config;
  Settings settings;
  declare(settings, config);
  for (const auto& setting : settings.all()) {
    declared.push_back(setting->name);
  }
  EXPECT_THAT(tested, testing::UnorderedElementsAreArray(declared));
}

}  // namespace
}  // namespace residua::test
