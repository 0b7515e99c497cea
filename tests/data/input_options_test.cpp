#include "core/data/input_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/config/toml_file.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;

TEST(InputOptions, TheMeanIsAFile) {
  const TemporaryFolder folder;
  InputOptions options;
  Settings settings;
  declare(settings, options);
  EXPECT_TRUE(fails_with([&] { settings.assign("mean", {"picture"}, Layer::file); },
                         {"mean", "picture", "a safetensors file that exists"}));
  settings.assign("mean", {folder / "mean.safetensors"}, Layer::file);  // it need not exist before it is read
  EXPECT_EQ(options.mean, MeanKind::file);
  EXPECT_EQ(options.mean_file, folder / "mean.safetensors");
  EXPECT_THAT(settings.find("mean")->get(), ElementsAre(folder / "mean.safetensors"));
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
