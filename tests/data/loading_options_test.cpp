#include "core/data/loading_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/config/toml_file.h"
#include "core/data/input_options.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LoadingOptions, TheLimitOfBadImagesIsANumberOrAShare) {
  LoadingOptions options;
  Settings settings;
  declare(settings, options);
  const auto limit = [&](const char* word, int64_t images) {
    settings.assign("max-bad-images", {word}, Layer::file);
    return options.max_bad_images.of(images);
  };
  EXPECT_EQ(options.max_bad_images.of(400), 100);
  EXPECT_EQ(limit("7", 400), 7);
  EXPECT_EQ(limit("1%", 400), 4);
  EXPECT_EQ(limit("1%", 99), 0) << "rounded down";
  EXPECT_EQ(limit("2.5%", 1000), 25);
  EXPECT_EQ(limit("100%", 10), 10);
  EXPECT_THAT(settings.toml(), HasSubstr("max-bad-images = \"100%\"\n"));
  EXPECT_EQ(limit("0%", 400), 0);
  EXPECT_EQ(limit("0", 400), 0) << "a number again";
  EXPECT_THAT(settings.toml(), HasSubstr("max-bad-images = 0\n"));
  for (const char* bad : {"-1", "1.5", "101%", "-1%", "%", "nan%", "a"}) {
    try {
      limit(bad, 1);
      FAIL() << bad;
    } catch (const UsageError& error) {
      EXPECT_EQ(error.setting(), "max-bad-images");
      EXPECT_EQ(error.got(), bad);
    }
  }
}

TEST(InputOptions, TheMeanIsAWordOrThreeNumbersAndReadsBack) {
  InputOptions options;
  Settings settings;
  declare(settings, options);
  const Setting& mean = *settings.find("mean");
  for (const Words& words : std::vector<Words>{{"pixel"}, {"channel"}, {"0.5", "0.25", "1"}, {}}) {
    settings.assign("mean", words, Layer::file);
    EXPECT_EQ(mean.get(), words);
    const std::string toml = settings.toml();
    InputOptions back;
    Settings others;
    declare(others, back);
    others.assign(parse_toml(toml, "file"), Layer::file, "file");
    EXPECT_EQ(others.find("mean")->get(), words) << toml;
    EXPECT_EQ(back.mean, options.mean);
  }
  settings.assign("mean", {"0.1", "0.2", "0.3"}, Layer::file);
  EXPECT_THAT(options.mean_values, ElementsAre(0.1, 0.2, 0.3));
  EXPECT_EQ(options.mean, MeanKind::values);
  for (const Words& bad :
       std::vector<Words>{{"image"}, {"0.5"}, {"0.5", "0.5"}, {"pixel", "0.5", "0.5"}, {"nan", "0", "0"}, {"2", "0", "0"}}) {
    EXPECT_THROW(settings.assign("mean", bad, Layer::file), UsageError) << bad[0];
  }
  EXPECT_THROW(settings.assign("std", {"0.5", "0.5"}, Layer::file), UsageError);
  EXPECT_THROW(settings.assign("std", {"0", "1", "1"}, Layer::file), UsageError);
  settings.assign("std", {"0.5", "0.25", "1"}, Layer::file);
  EXPECT_THAT(options.std, ElementsAre(0.5, 0.25, 1));
}

}  // namespace
}  // namespace residua::test
