#include "core/data/statistics_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/data/loader.h"
#include "tests/data/two_by_two.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/warning_log.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

void expect_same(const ImageStatistics& a, const ImageStatistics& b) {
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.size, b.size);
  EXPECT_EQ(a.mean_image, b.mean_image);
  EXPECT_EQ(a.channels.mean, b.channels.mean);
  EXPECT_EQ(a.channels.std, b.channels.std);
  EXPECT_EQ(a.colors, b.colors);
}

int64_t files_in(const std::string& folder) { return std::distance(fs::directory_iterator(folder), fs::directory_iterator()); }

std::string only_file_in(const std::string& folder) { return fs::directory_iterator(folder)->path(); }

TEST(StatisticsCache, ASecondCallReadsASampleAlone) {
  const TemporaryFolder folder;
  const std::string cache = folder / "new/folder";
  const auto source = many_two_by_two(5000);
  const ImageStatistics measured = measure_images(source, 2, {});
  for (const int64_t reads : {5000 + 64, 64}) {
    source->reads = 0;
    expect_same(measure_images_once(cache, source, 2, {}), measured);
    EXPECT_EQ(source->reads, reads);
  }
  EXPECT_EQ(files_in(cache), 1);
}

TEST(StatisticsCache, OtherImagesAreMeasured) {
  const TemporaryFolder folder;
  measure_images_once(folder.path(), two_by_two({}), 2, {});
  EXPECT_EQ(measure_images_once(folder.path(), two_by_two({}), 1, {}).mean_image.size(), 3U) << "another size";
  const auto changed =
      std::make_shared<TwoByTwo>(std::vector<std::vector<uint8_t>>{{0, 4, 8, 12}, {8, 20, 0, 5}}, std::nullopt);
  EXPECT_EQ(measure_images_once(folder.path(), changed, 2, {}).channels.mean[0], 7.125f) << "of the same names";
  EXPECT_EQ(files_in(folder.path()), 3);
}

// 300 images, of which a sample of 64 would not hold image 299.
TEST(StatisticsCache, EachImageOfASmallSetCounts) {
  const TemporaryFolder folder;
  std::vector<std::vector<uint8_t>> red(300, {1, 2, 3, 4});
  measure_images_once(folder.path(), std::make_shared<TwoByTwo>(red, std::nullopt), 2, {});
  red.back() = {200, 200, 200, 200};
  const auto changed = std::make_shared<TwoByTwo>(red, std::nullopt);
  expect_same(measure_images_once(folder.path(), changed, 2, {}), measure_images(changed, 2, {}));
  EXPECT_EQ(files_in(folder.path()), 2);
}

/// Many images, and what a folder knows of them without reading them.
class Sized final : public ImageSource {
 public:
  Sized(int64_t images, uint64_t bytes_of_last) : images_(images), bytes_of_last_(bytes_of_last) {}
  int64_t size() const override { return images_; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int32_t label(int64_t) const override { return 0; }
  std::string name(int64_t i) const override { return std::to_string(i); }
  std::optional<ImageSize> fixed_size() const override { return std::nullopt; }
  std::optional<uint64_t> stored_bytes(int64_t i) const override { return i == images_ - 1 ? bytes_of_last_ : 3; }
  void read(int64_t, EncodedImage& out) const override {
    out.storage = {6, 6, 6};
    out.set_rgb(out.storage, {1, 1});
  }

 private:
  int64_t images_;
  uint64_t bytes_of_last_;
  std::vector<std::string> names_{"only"};
};

TEST(StatisticsCache, OfALargeSetEachByteCountCounts) {
  const TemporaryFolder folder;
  measure_images_once(folder.path(), std::make_shared<Sized>(5000, 3), 1, {});
  measure_images_once(folder.path(), std::make_shared<Sized>(5000, 3), 1, {});
  EXPECT_EQ(files_in(folder.path()), 1);
  measure_images_once(folder.path(), std::make_shared<Sized>(5000, 4), 1, {});
  EXPECT_EQ(files_in(folder.path()), 2);
}

TEST(StatisticsCache, ADamagedFileIsMeasuredAgain) {
  const TemporaryFolder folder;
  const auto source = two_by_two({});
  const ImageStatistics measured = measure_images_once(folder.path(), source, 2, {});
  const std::string file = only_file_in(folder.path());
  const std::string bytes = read_bytes(file);
  std::string without_numbers = bytes;
  without_numbers.replace(without_numbers.find("eigenvalues"), 11, "eigenvalue_");
  for (const std::string& damaged : {bytes.substr(0, bytes.size() - 1), std::string("no"), without_numbers}) {
    write_bytes(file, damaged);
    const WarningLog warnings;
    expect_same(measure_images_once(folder.path(), source, 2, {}), measured);
    EXPECT_THAT(warnings.text(), HasSubstr("measured again"));
    EXPECT_EQ(read_bytes(file), bytes) << "and kept again";
  }
}

// Rank 1 has a folder of its own.
TEST(StatisticsCache, RanksMeasureTogetherUnlessEachHasAResult) {
  const TemporaryFolder folder;
  const auto source = many_two_by_two(100);
  const ImageStatistics measured = measure_images(source, 2, {});
  measure_images_once(folder / "0", source, 2, {});
  for (const int64_t reads : {200 + 100, 200}) {  // all are read for the digest
    source->reads = 0;
    run_ranks(2, [&](Communicator& ranks) {
      expect_same(measure_images_once(folder / std::to_string(ranks.rank()), source, 2, {}, {}, &ranks), measured);
    });
    EXPECT_EQ(source->reads, reads);
    EXPECT_EQ(files_in(folder / "1"), 1);
  }
}

TEST(StatisticsCache, AFolderThatCannotBeWrittenCostsTimeAlone) {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "");
  const auto source = two_by_two({});
  const WarningLog warnings;
  expect_same(measure_images_once(folder / "file/cache", source, 2, {}), measure_images(source, 2, {}));
  EXPECT_THAT(warnings.text(), HasSubstr("not kept"));
  EXPECT_EQ(measure_images_once("", source, 2, {}).images, 2) << "without a folder nothing is kept";
}

}  // namespace
}  // namespace residua::test
