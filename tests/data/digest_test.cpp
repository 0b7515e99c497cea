#include "core/data/digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

/// Images that have a name and a label, and nothing else.
class NamedImages final : public ImageSource {
 public:
  explicit NamedImages(std::vector<std::pair<std::string, int32_t>> images) : images_(std::move(images)) {}
  int64_t size() const override { return static_cast<int64_t>(images_.size()); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t i) const override { return images_[static_cast<size_t>(i)].second; }
  std::string name(int64_t i) const override { return images_[static_cast<size_t>(i)].first; }
  std::optional<ImageSize> fixed_size() const override { return std::nullopt; }
  void load(int64_t i, const RegionChooser& /*choose*/, Image& /*out*/) const override { fail("{} was read", name(i)); }

 private:
  std::vector<std::pair<std::string, int32_t>> images_;
  std::vector<std::string> class_names_;
};

std::string digest(std::vector<std::pair<std::string, int32_t>> images) { return set_digest(NamedImages(std::move(images))); }

TEST(SetDigest, IsFnv1aOfPathsAndLabels) {
  // Of "cat/1.jpg\n0\ndog/1.jpg\n1\n", by another implementation.
  EXPECT_EQ(digest({{"/data/cat/1.jpg", 0}, {"/data/dog/1.jpg", 1}}), "e89cbafc2763ae2e");
}

TEST(SetDigest, StaysWhenTheSetMoves) {
  const std::string here = digest({{"data/train/cat/1.jpg", 0}, {"data/train/cat/sub/2.jpg", 0}, {"data/train/dog/1.jpg", 1}});
  EXPECT_EQ(digest({{"/far/away/cat/1.jpg", 0}, {"/far/away/cat/sub/2.jpg", 0}, {"/far/away/dog/1.jpg", 1}}), here);
  EXPECT_EQ(digest({{"cat/1.jpg", 0}, {"cat/sub/2.jpg", 0}, {"dog/1.jpg", 1}}), here);
}

TEST(SetDigest, DiffersWhereAPathALabelOrTheOrderDoes) {
  const std::set<std::string> digests = {
      digest({{"d/cat/1", 0}, {"d/cat/2", 0}, {"d/dog/1", 1}}),
      digest({{"d/cat/1", 0}, {"d/cat/2", 0}, {"d/dog/3", 1}}),                  // another file
      digest({{"d/cat/1", 0}, {"d/cat/2", 0}, {"d/cow/1", 1}}),                  // another class
      digest({{"d/cat/1", 0}, {"d/cat/2", 1}, {"d/dog/1", 1}}),                  // another label
      digest({{"d/cat/2", 0}, {"d/cat/1", 0}, {"d/dog/1", 1}}),                  // another order
      digest({{"d/cat/1", 0}, {"d/dog/1", 1}}),                                  // fewer
      digest({{"d/cat/1", 0}, {"d/cat/2", 0}, {"d/dog/1", 1}, {"d/dog/1", 1}}),  // more
      digest({{"d/ca/t1", 0}, {"d/cat/2", 0}, {"d/dog/1", 1}}),
      digest({{"d/cat/1", 10}, {"d/cat/2", 0}, {"d/dog/1", 1}}),
  };
  EXPECT_EQ(digests.size(), 9U);
}

TEST(SetDigest, IsOfTheFilesOfAFolderWhereverThatIs) {
  const TemporaryFolder folder;
  const auto make = [&](const std::string& root) {
    for (const char* file : {"train/cat/1.ppm", "train/cat/2.ppm", "train/dog/1.ppm", "val/dog/1.ppm"}) {
      const std::string path = folder / root + "/" + file;
      std::filesystem::create_directories(std::filesystem::path(path).parent_path());
      write_bytes(path, "P6\n1 1\n255\nabc");
    }
  };
  make("here");
  make("there/below");
  const auto of = [&](const std::string& root, Split split) {
    return set_digest(*open_source("imagefolder", folder / root, split));
  };
  EXPECT_EQ(of("here", Split::train), of("there/below", Split::train));
  EXPECT_EQ(of("here", Split::val), of("there/below", Split::val));
  EXPECT_NE(of("here", Split::train), of("here", Split::val));
  const std::string before = of("here", Split::train);
  std::filesystem::rename(folder / "here/train/cat/2.ppm", folder / "here/train/cat/3.ppm");
  EXPECT_NE(of("here", Split::train), before);
}

TEST(DifferentClassNames, AreNamedWithTheirPositions) {
  EXPECT_EQ(different_class_names({"a", "b"}, {"a", "b"}), "");
  EXPECT_EQ(different_class_names({"a", "b"}, {"a", "c"}), "class 1 was \"b\" and is \"c\"");
  EXPECT_EQ(different_class_names({"a", "b"}, {"a", "b", "c"}), "class 2 was missing and is \"c\"");
  EXPECT_EQ(different_class_names({"a", "b", "c"}, {"a"}),
            "class 1 was \"b\" and is missing, class 2 was \"c\" and is missing");
  EXPECT_EQ(different_class_names({"a", "b", "c", "d", "e"}, {"b", "c", "d", "e", "a"}),
            "class 0 was \"a\" and is \"b\", class 1 was \"b\" and is \"c\", class 2 was \"c\" and is \"d\" and 2 more");
}

}  // namespace
}  // namespace residua::test
