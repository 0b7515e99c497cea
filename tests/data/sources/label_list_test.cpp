#include "core/data/sources/label_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/data/source.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LabelListTest : public ::testing::Test {
 protected:
  LabelList read(const std::string& text, const std::vector<std::string>& class_names) {
    write_bytes(folder_ / "val.txt", text);
    return read_label_list(folder_ / "val.txt", class_names);
  }
  std::string error(const std::string& text, const std::vector<std::string>& class_names) {
    try {
      read(text, class_names);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
  void put(const std::string& file, const std::string& bytes) {
    fs::create_directories(fs::path(folder_ / file).parent_path());
    write_bytes(folder_ / file, bytes);
  }

  TemporaryFolder folder_;
};

TEST_F(LabelListTest, NumbersArePositionsFromZero) {
  const LabelList list = read("b.jpg 2\nmy cat.jpg\t0\r\n\na.jpg   1 \n", {"x", "y", "z"});
  EXPECT_THAT(list.files, ElementsAre("b.jpg", "my cat.jpg", "a.jpg"));
  EXPECT_THAT(list.labels, ElementsAre(2, 0, 1));
  EXPECT_THAT(list.class_names, ElementsAre("x", "y", "z"));
  EXPECT_THAT(list.note, AllOf(HasSubstr("from 0"), HasSubstr("0 is x")));
}

TEST_F(LabelListTest, NamesAreNamesEvenIfTheyLookLikeNumbers) {
  EXPECT_THAT(read("1.jpg n02\n2.jpg n01\n", {"n01", "n02", "n03"}).labels, ElementsAre(1, 0));
  EXPECT_THAT(read("1.jpg 10\n2.jpg 2\n", {"1", "10", "2"}).labels, ElementsAre(1, 2));
  const LabelList own = read("1.jpg dog\n2.jpg cat\n3.jpg dog\n", {});
  EXPECT_THAT(own.class_names, ElementsAre("cat", "dog"));
  EXPECT_THAT(own.labels, ElementsAre(1, 0, 1));
  EXPECT_THAT(own.note, HasSubstr("by class name"));
}

TEST_F(LabelListTest, RefusesWhatItCannotRead) {
  EXPECT_THAT(error("a.jpg 0\nb.jpg 3\n", {"x", "y", "z"}),
              AllOf(HasSubstr("the label 3, wanted 0 to 2"), HasSubstr("counts from 1")));
  EXPECT_THAT(error("a.jpg -1\n", {"x", "y"}), HasSubstr("the label -1, wanted 0 to 1"));
  EXPECT_THAT(error("a.jpg x\nb.jpg w\n", {"x", "y"}), HasSubstr("the class 'w', which is not one of the 2 classes"));
  EXPECT_THAT(error("a.jpg x\nb.jpg 0\n", {"x", "y"}), HasSubstr("the class '0'"));
  EXPECT_THAT(error("a.jpg 0\nb.jpg 1x\n", {"x", "y"}), HasSubstr("the class '0'"));
  EXPECT_THAT(error("490\n361\n", {"x", "y"}), AllOf(HasSubstr("the line '490', wanted 'name label'"), HasSubstr("wnid")));
  EXPECT_THAT(error(" 361\n", {"x", "y"}), HasSubstr("wanted 'name label'"));
  EXPECT_THAT(error("a.jpg 0\nb.jpg 1\n", {}), HasSubstr("classes.txt"));
  EXPECT_THAT(error("a.jpg 0\na.jpg 1\n", {"x", "y"}), HasSubstr("lists 'a.jpg' twice"));
  EXPECT_THAT(error("\n\n", {"x", "y"}), HasSubstr("lists no image"));
}

TEST_F(LabelListTest, AFlatValidationFolderHasTheTrainingFoldersClasses) {
  put("train/dog/a.ppm", "P6\n1 1\n255\nabc");
  put("train/cat/a.ppm", "P6\n1 1\n255\nabc");
  put("val/2.ppm", "P6\n1 1\n255\nabc");
  put("val/1.ppm", "P6\n1 1\n255\nabc");
  put("val/3.ppm", "P6\n1 1\n255\nabc");
  write_bytes(folder_ / "val.txt", "2.ppm 1\n1.ppm 0\n");
  const auto source = open_source("auto", folder_.path(), Split::val);
  ASSERT_EQ(source->size(), 2);
  EXPECT_THAT(source->class_names(), ElementsAre("cat", "dog"));
  EXPECT_EQ(source->name(0), folder_ / "val/2.ppm") << "in the order of the list";
  EXPECT_EQ(source->label(0), 1);
  EXPECT_EQ(source->label(1), 0);
  EXPECT_EQ(source->load(1).size(), (ImageSize{1, 1}));
  EXPECT_THAT(source->notes(), ElementsAre(HasSubstr("from 0: 0 is cat"), HasSubstr("1 image is skipped because val.txt")));
  write_bytes(folder_ / "val.txt", "2.ppm cat\n");
  EXPECT_EQ(open_source("auto", folder_.path(), Split::val)->label(0), 0);
  write_bytes(folder_ / "val.txt", "2.ppm bird\n");
  EXPECT_TRUE(fails_with([&] { open_source("auto", folder_.path(), Split::val); }, {"'bird', which is not one of the 2"}));
}

TEST_F(LabelListTest, WithoutATrainingFolderClassesTxtNamesTheClasses) {
  put("val/1.ppm", "P6\n1 1\n255\nabc");
  put("val/2.ppm", "P6\n1 1\n255\nabc");
  write_bytes(folder_ / "val.txt", "1.ppm 2\n2.ppm 0\n");
  EXPECT_TRUE(fails_with([&] { open_source("auto", folder_.path(), Split::val); }, {"classes.txt"}));
  write_bytes(folder_ / "classes.txt", "zebra\nape\nbear\n");
  const auto source = open_source("auto", folder_.path(), Split::val);
  EXPECT_THAT(source->class_names(), ElementsAre("zebra", "ape", "bear")) << "in the order of the file";
  EXPECT_EQ(source->label(0), 2);
  EXPECT_TRUE(fails_with([&] { open_source("auto", folder_.path(), Split::train); }, {"wanted train/"}));
}

// Class folders win over a list beside them.
TEST_F(LabelListTest, IsNotReadWhereThereAreClassFolders) {
  put("val/dog/1.ppm", "P6\n1 1\n255\nabc");
  put("val/cat/1.ppm", "P6\n1 1\n255\nabc");
  write_bytes(folder_ / "val.txt", "nonsense");
  const auto source = open_source("imagefolder", folder_.path(), Split::val);
  EXPECT_EQ(source->size(), 2);
  EXPECT_THAT(source->notes(), IsEmpty());
}

}  // namespace
}  // namespace residua::test
