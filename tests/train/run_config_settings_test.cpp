// Each setting of a run: how it is declared, what it takes, and how it is written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/support/own_setting.h"
#include "tests/train/layered_run.h"

namespace residua::test {
namespace {

TEST(RunConfig, EverySettingIsDeclaredWhole) {
  LayeredRun run;
  EXPECT_GT(run.settings.all().size(), 40U);
  for (const auto& setting : run.settings.all()) {
    EXPECT_FALSE(setting->group.empty()) << setting->name;
    EXPECT_TRUE(setting->help.ends_with(".")) << setting->name << ": " << setting->help;
    EXPECT_TRUE(setting->help[0] >= 'A' && setting->help[0] <= 'Z') << setting->name << ": " << setting->help;
    EXPECT_FALSE(setting->wanted.empty()) << setting->name;
    EXPECT_EQ(setting->default_words, setting->get()) << setting->name;
  }
}

/// Two values for each setting that a file can have; a new setting needs a line here.
const std::vector<std::pair<std::string, std::pair<Words, Words>>> kValues = {
    {"DIR", {{"photos"}, {"a \"b\\"}}},
    {"dataset", {{"cifar10"}, {"synthetic"}}},
    {"synthetic-classes", {{"2"}, {"1000"}}},
    {"synthetic-images", {{"16"}, {"2147483647"}}},
    {"holdout", {{"0"}, {"5000"}}},
    {"clean-train", {{"0"}, {"1000"}}},
    {"warmup-error", {{"80"}, {"0.5"}}},
    {"augment", {{"flip"}, {"random-resized-crop"}}},
    {"color-shift", {{"measured"}, {"none"}}},
    {"crop-size", {{"8"}, {"4096"}}},
    {"mean", {{"pixel"}, {"0.5", "0.25", "1"}}},
    {"std", {{"0.5", "0.25", "1"}, {"0.0001", "1", "1"}}},
    {"no-shuffle", {{"true"}, {"false"}}},
    {"allow-nondeterministic", {{"true"}, {"false"}}},
    {"deterministic", {{"true"}, {"false"}}},
    {"max-skipped-steps", {{"1"}, {"2147483647"}}},
    {"on-divergence", {{"rollback"}, {"stop"}}},
    {"allow-runtime-compilation", {{"true"}, {"false"}}},
    {"exif", {{"true"}, {"false"}}},
    {"workers", {{"auto"}, {"1024"}}},
    {"max-bad-images", {{"0"}, {"7"}}},
    {"max-bad-share", {{"0"}, {"0.25"}}},
    {"max-pixels", {{"1"}, {"268435456"}}},
    {"read-timeout", {{"0"}, {"2.5"}}},
    {"rank-timeout", {{"0"}, {"2.5"}}},
    {"sync-bn", {{"true"}, {"false"}}},
    {"trace", {{"t.json"}, {"x"}}},
    {"model", {{"plain20"}, {"resnet1202"}}},
    {"shortcut", {{"A"}, {"C"}}},
    {"shortcut-pad", {{"both"}, {"end"}}},
    {"shortcut-pool", {{"average"}, {"stride"}}},
    {"bottleneck-stride", {{"conv1x1"}, {"conv3x3"}}},
    {"init", {{"fan-out"}, {"fan-in"}}},
    {"zero-gamma", {{"true"}, {"false"}}},
    {"weights", {{"w.safetensors"}, {"x"}}},
    {"recipe", {{"photos"}, {"small-images"}}},
    {"batch-size", {{"1"}, {"1048576"}}},
    {"accumulate", {{"2"}, {"1048576"}}},
    {"bn-group", {{"0"}, {"32"}}},
    {"exact-bn", {{"0"}, {"50000"}}},
    {"epochs", {{"0.5"}, {"90"}}},
    {"iterations", {{"1"}, {"1000000000000"}}},
    {"label-smoothing", {{"0.1"}, {"1"}}},
    {"precision", {{"bf16"}, {"fp16"}}},
    {"device", {{"cpu"}, {"cuda:1"}}},
    {"cuda-graph", {{"off"}, {"on"}}},
    {"threads", {{"1"}, {"1024"}}},
    {"seed", {{"1"}, {"1000000000000000"}}},
    {"momentum", {{"0"}, {"1"}}},
    {"weight-decay", {{"0"}, {"0.0005"}}},
    {"no-bn-decay", {{"true"}, {"false"}}},
    {"lr", {{"0.3"}, {"1e-05"}}},
    {"lr-batch-size", {{"1"}, {"1048576"}}},
    {"lr-scaling", {{"linear"}, {"down"}}},
    {"lr-schedule", {{"plateau"}, {"constant"}}},
    {"lr-steps", {{"1", "2.5"}, {"30"}}},
    {"lr-factor", {{"0.5"}, {"1"}}},
    {"lr-patience", {{"0"}, {"9"}}},
    {"lr-threshold", {{"0"}, {"0.25"}}},
    {"lr-final", {{"0.001"}, {"0.01"}}},
    {"warmup-iterations", {{"1"}, {"1000000000000"}}},
    {"warmup-epochs", {{"5"}, {"0.5"}}},
    {"warmup", {{"constant"}, {"linear"}}},
    {"warmup-lr", {{"0.01"}, {"0.02"}}},
    {"protocol", {{"center"}, {"two-sizes"}}},
    {"average", {{"softmax"}, {"logits"}}},
    {"output", {{"runs/a"}, {"C:\\x"}}},
    {"checkpoint-every", {{"500"}, {"0.5m"}}},
    {"keep-checkpoints", {{"1"}, {"5"}}},
    {"log-every", {{"1"}, {"2147483647"}}},
    {"evaluate-every", {{"0.25"}, {"3"}}},
};

/// Words that each setting refuses, where it does not take all.
const std::vector<std::pair<std::string, std::vector<Words>>> kRefused = {
    {"dataset", {{"mnist"}}},
    {"synthetic-classes", {{"1"}, {"1001"}}},
    {"synthetic-images", {{"15"}}},
    {"augment", {{"mixup"}}},
    {"crop-size", {{"7"}, {"4097"}}},
    {"workers", {{"-1"}, {"1025"}}},
    {"max-bad-images", {{"-1"}, {"1.5"}}},
    {"max-bad-share", {{"1.5"}}},
    {"max-pixels", {{"0"}, {"268435457"}}},
    {"read-timeout", {{"-1"}}},
    {"rank-timeout", {{"-1"}}},
    {"model", {{"resnet19"}}},
    {"shortcut", {{"D"}}},
    {"shortcut-pad", {{"middle"}}},
    {"shortcut-pool", {{"max"}}},
    {"bottleneck-stride", {{"conv5x5"}}},
    {"init", {{"fan"}}},
    {"recipe", {{"photo"}}},
    {"batch-size", {{"0"}, {"1.5"}, {"1048577"}}},
    {"accumulate", {{"0"}, {"1.5"}}},
    {"bn-group", {{"-1"}}},
    {"exact-bn", {{"-1"}}},
    {"epochs", {{"0"}, {"nan"}}},
    {"iterations", {{"0"}, {"-3"}}},
    {"label-smoothing", {{"2"}, {"-0.1"}}},
    {"precision", {{"fp64"}}},
    {"cuda-graph", {{"auto"}}},
    {"threads", {{"-1"}, {"1025"}}},
    {"seed", {{"-1"}}},
    {"momentum", {{"1.5"}, {"nan"}}},
    {"weight-decay", {{"-1"}}},
    {"lr", {{"nan"}, {"inf"}, {"-0.1"}, {"0"}, {"x"}}},
    {"lr-batch-size", {{"0"}}},
    {"lr-scaling", {{"up"}}},
    {"lr-schedule", {{"up"}}},
    {"lr-steps", {{"5", "3"}, {"1", "nan"}, {"0"}}},
    {"lr-factor", {{"2"}, {"0"}}},
    {"lr-patience", {{"-1"}}},
    {"lr-threshold", {{"1"}}},
    {"lr-final", {{"-1"}}},
    {"warmup-iterations", {{"-1"}}},
    {"warmup-epochs", {{"0"}, {"nan"}}},
    {"warmup", {{"slow"}}},
    {"warmup-lr", {{"0"}}},
    {"warmup-error", {{"0"}, {"101"}}},
    {"holdout", {{"-1"}}},
    {"clean-train", {{"-1"}, {"1.5"}}},
    {"protocol", {{"centre"}}},
    {"average", {{"mean"}}},
    {"checkpoint-every", {{"0"}, {"0m"}, {"-1"}, {"1.5"}, {"m"}, {"10s"}, {"1h"}, {"nanm"}}},
    {"keep-checkpoints", {{"0"}, {"-1"}}},
    {"log-every", {{"0"}}},
    {"evaluate-every", {{"0"}}},
};

TEST(RunConfig, EverySettingReadsBackFromTheFileThatItWrites) {
  std::vector<std::pair<std::string, std::pair<Words, Words>>> all(kValues.begin(), kValues.end());
  for (const OwnSetting& own : own_settings()) {
    all.emplace_back(own.name, std::pair(own.one, own.other));
  }
  std::vector<std::string> tested;
  for (const auto& [name, values] : all) {
    tested.push_back(name);
    for (const Words& words : {values.first, values.second}) {
      LayeredRun run;
      run.flag(name, words);
      LayeredRun back;
      back.file(run.settings.toml());
      EXPECT_EQ(back.settings.find(name)->get(), words) << name << "\n" << run.settings.toml();
      EXPECT_EQ(back.settings.toml(), run.settings.toml()) << name;
    }
    EXPECT_NE(values.first, values.second) << name;
  }
  std::vector<std::string> declared;
  const LayeredRun run;
  for (const auto& setting : run.settings.all()) {
    if (setting->saved) {
      declared.push_back(setting->name);
    }
  }
  EXPECT_THAT(declared, testing::UnorderedElementsAreArray(tested));
}

TEST(RunConfig, EverySettingHoldsItsRange) {
  for (const auto& [name, all] : kRefused) {
    for (const Words& words : all) {
      LayeredRun run;
      try {
        run.flag(name, words);
        ADD_FAILURE() << name << " took " << words[0];
      } catch (const UsageError& error) {
        EXPECT_EQ(error.setting(), name);
        EXPECT_FALSE(error.wanted().empty());
      }
    }
  }
}

}  // namespace
}  // namespace residua::test
