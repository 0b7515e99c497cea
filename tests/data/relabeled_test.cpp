#include "core/data/relabeled.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/data/sources/memory_source.h"
#include "core/data/subset.h"
#include "tests/support/compare.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;

std::shared_ptr<const ImageSource> three_images() {
  return std::make_shared<const MemorySource>(
      MemorySource::Contents{"three", {1, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 1, 2}, {"ape", "bear", "cat"}});
}

TEST(Relabeled, AClassKeepsItsName) {
  const Relabeled source(three_images(), {"cat", "zebra", "ape", "bear"}, "file");
  EXPECT_EQ(source.size(), 3);
  EXPECT_THAT(source.class_names(), ElementsAre("cat", "zebra", "ape", "bear"));
  EXPECT_EQ(source.label(0), 2);
  EXPECT_EQ(source.label(1), 3);
  EXPECT_EQ(source.label(2), 0);
  EXPECT_EQ(source.name(2), three_images()->name(2));
  EXPECT_THAT(source.load(1).pixels, ElementsAre(4, 5, 6));
  EXPECT_EQ(source.fixed_size(), (ImageSize{1, 1}));
}

TEST(Relabeled, AnUnknownClassWithImagesIsAnError) {
  EXPECT_TRUE(fails_with(
      [] {
        Relabeled(three_images(), {"cat", "ape"}, "w.safetensors");
      },
      {"w.safetensors does not know 1 of the images' classes: \"bear\"", "2 classes \"cat\", \"ape\""}));
  const auto without_bear = std::make_shared<const Subset>(three_images(), std::vector<int64_t>{0, 2});
  EXPECT_EQ(Relabeled(without_bear, {"cat", "ape"}, "file").label(0), 1) << "no image is a bear";
}

}  // namespace
}  // namespace residua::test
