#include "core/data/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "core/base/error.h"
#include "tests/data/image_fixtures.h"
#include "tests/data/synthetic_source.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

void put(const std::string& path, const std::string& bytes) {
  fs::create_directories(fs::path(path).parent_path());
  write_bytes(path, bytes);
}

std::string usage_error(const std::string& dataset, const std::string& folder, Split split = Split::train,
                        const SourceContext& context = {}) {
  try {
    open_source(dataset, folder, split, context);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

/// Two classes, with everything that must not be taken for an image or a class.
void make_image_folder(const TemporaryFolder& folder) {
  put(folder / "train/dog/b.jpg", encode_jpeg(photo_image(20, 30, 1)));
  put(folder / "train/dog/a.JPEG", encode_jpeg(photo_image(21, 31, 2)));
  put(folder / "train/cat/really_a_bmp.png", encode_bmp(pattern_image(5, 6)));
  put(folder / "train/cat/nested/z.png", encode_png(pattern_image(7, 8)));
  put(folder / "train/cat/notes.txt", "not an image");
  put(folder / "train/cat/.hidden.jpg", "not an image");
  put(folder / "train/cat/.thumbnails/t.jpg", "not an image");
  put(folder / "train/.git/x.jpg", "not a class");
  put(folder / "train/list.csv", "not a class");
  put(folder / "val/dog/v.jpg", encode_jpeg(photo_image(20, 30, 3)));
}

TEST(ImageFolder, ListsSortedClassesAndImages) {
  const TemporaryFolder folder;
  make_image_folder(folder);
  const auto source = open_source("imagefolder", folder.path(), Split::train);
  EXPECT_THAT(source->class_names(), ElementsAre("cat", "dog"));
  ASSERT_EQ(source->size(), 4);
  EXPECT_EQ(source->name(0), folder / "train/cat/nested/z.png");
  EXPECT_EQ(source->name(1), folder / "train/cat/really_a_bmp.png");
  EXPECT_EQ(source->name(2), folder / "train/dog/a.JPEG");
  EXPECT_EQ(source->name(3), folder / "train/dog/b.jpg");
  EXPECT_EQ(source->label(1), 0);
  EXPECT_EQ(source->label(2), 1);
  EXPECT_FALSE(source->fixed_size().has_value());
  EXPECT_EQ(source->load(0).pixels, pattern_image(7, 8).pixels);
  EXPECT_EQ(source->load(1).pixels, pattern_image(5, 6).pixels) << "the content decides, not the name";
  EXPECT_EQ(source->load(2).size(), (ImageSize{21, 31}));
}

TEST(ImageFolder, ValidationLabelsAreThoseOfTraining) {
  const TemporaryFolder folder;
  make_image_folder(folder);
  const auto source = open_source("auto", folder.path(), Split::val);
  ASSERT_EQ(source->size(), 1);
  EXPECT_EQ(source->label(0), 1) << "dog is class 1, though val/ has no cat";
  EXPECT_EQ(source->class_names().size(), 2u);
  put(folder / "val/bird/x.jpg", "");
  EXPECT_THAT(usage_error("auto", folder.path(), Split::val), HasSubstr("bird' has no counterpart"));
}

TEST(ImageFolder, EveryTypeThatItAcceptsCanBeRead) {
  const TemporaryFolder folder;
  const Image image = pattern_image(4, 5);
  std::string gray;
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    gray += static_cast<char>(image.pixels[i]);
  }
  const std::string pixels(image.pixels.begin(), image.pixels.end());
  const std::map<std::string, std::string> files = {
      {"a.jpg", encode_jpeg(image)},    {"b.JPEG", encode_jpeg(image)}, {"c.jfif", encode_jpeg(image)},
      {"d.png", encode_png(image)},     {"e.bmp", encode_bmp(image)},   {"f.ppm", "P6 5 4 255\n" + pixels},
      {"g.pgm", "P5 5 4 255\n" + gray},
  };
  for (const auto& [name, bytes] : files) {
    put(folder / ("train/cat/" + name), bytes);
  }
  put(folder / "train/dog/a.jpg", encode_jpeg(image));
  // What the message about an empty class folder names is what is accepted, and each of these has a file above.
  fs::create_directories(folder / "val/cat");
  const std::string message = usage_error("imagefolder", folder.path(), Split::val);
  EXPECT_THAT(message, HasSubstr("wanted JPEG, PNG, BMP, PPM or PGM images"));
  const auto source = open_source("imagefolder", folder.path(), Split::train);
  ASSERT_EQ(source->size(), static_cast<int64_t>(files.size()) + 1);
  for (int64_t i = 0; i < source->size(); ++i) {
    EXPECT_EQ(source->load(i).size(), (ImageSize{4, 5})) << source->name(i);
  }
  EXPECT_TRUE(source->notes().empty());
}

TEST(ImageFolder, TellsOfFilesThatItLeavesOut) {
  const TemporaryFolder folder;
  make_image_folder(folder);
  EXPECT_THAT(open_source("imagefolder", folder.path(), Split::val)->notes(), ElementsAre());
  EXPECT_THAT(open_source("imagefolder", folder.path(), Split::train)->notes(),
              ElementsAre(AllOf(HasSubstr("1 file is skipped: 1 *.txt; wanted JPEG"), HasSubstr("train: "))));
  for (const char* name : {"cat/b.gif", "dog/B.GIF", "dog/photo", "dog/deep/er/x.webp", "cat/scan.tiff"}) {
    put(folder / ("train/" + std::string(name)), "GIF89a");
  }
  const auto source = open_source("imagefolder", folder.path(), Split::train);
  EXPECT_EQ(source->size(), 4);
  EXPECT_THAT(
      source->notes(),
      ElementsAre(HasSubstr("6 files are skipped: 1 without extension, 2 *.gif, 1 *.tiff, 1 *.txt, 1 *.webp; wanted JPEG")));
}

TEST(ImageFolder, LooksAtTheContentsOfFilesWithOtherNames) {
  const TemporaryFolder folder;
  const Image image = pattern_image(4, 5);
  put(folder / "train/cat/named.JPEG", encode_png(image));  // ImageNet has one such file
  put(folder / "train/cat/photo", encode_jpeg(image));
  put(folder / "train/cat/photo.dat", encode_bmp(image));
  put(folder / "train/dog/upload.tmp", encode_png(image));
  put(folder / "train/dog/BM.txt", "BM, P5 and P6 are no images");
  put(folder / "train/dog/P6.md", "P6 is the name of a section");
  const auto source = open_source("imagefolder", folder.path(), Split::train);
  ASSERT_EQ(source->size(), 4);
  for (int64_t i = 0; i < source->size(); ++i) {
    EXPECT_EQ(source->load(i).size(), (ImageSize{4, 5})) << source->name(i);
  }
  EXPECT_THAT(source->notes(), ElementsAre(HasSubstr("2 files are skipped: 1 *.md, 1 *.txt;")));
}

TEST(OpenSource, OneClassIsNoTask) {
  const TemporaryFolder folder;
  put(folder / "train/cat/a.bmp", encode_bmp(pattern_image(5, 6)));
  put(folder / "val/cat/a.bmp", encode_bmp(pattern_image(5, 6)));
  for (const Split split : {Split::train, Split::val}) {
    EXPECT_THAT(usage_error("auto", folder.path(), split), HasSubstr("has only the class 'cat'; wanted at least two"));
  }
}

TEST(ImageFolder, ABadImageIsAnErrorThatNamesIt) {
  const TemporaryFolder folder;
  make_image_folder(folder);
  put(folder / "train/dog/c.jpg", "garbage");
  const auto source = open_source("imagefolder", folder.path(), Split::train);
  ASSERT_EQ(source->size(), 5);
  try {
    source->load(4);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(folder / "train/dog/c.jpg"));
  }
  fs::remove(folder / "train/dog/b.jpg");
  EXPECT_THROW(source->load(3), Error);
}

TEST(ImageFolder, FollowsLinksToFoldersButNotInCircles) {
  const TemporaryFolder folder;
  make_image_folder(folder);
  const auto before = open_source("imagefolder", folder.path(), Split::train);
  const TemporaryFolder elsewhere;
  std::filesystem::create_directories(elsewhere / "more");
  const std::string class_folder = folder / "train/" + before->class_names()[0];
  std::filesystem::copy_file(before->name(0), elsewhere / "more/linked.png");
  std::filesystem::create_directory_symlink(elsewhere.path(), class_folder + "/link");
  std::filesystem::create_directory_symlink(class_folder, class_folder + "/circle");
  std::filesystem::create_directory_symlink(folder.path(), class_folder + "/larger_circle");
  // Two folders with links to each other: the ways through them would be without number.
  for (const char* name : {"x", "y"}) {
    std::filesystem::create_directories(elsewhere / name);
    for (const char* link : {"/1", "/2", "/3"}) {
      std::filesystem::create_directory_symlink(elsewhere / (*name == 'x' ? "y" : "x"), elsewhere / name + link);
    }
  }
  const auto source = open_source("imagefolder", folder.path(), Split::train);
  std::set<std::string> files;
  for (int64_t i = 0; i < source->size(); ++i) {
    files.insert(std::filesystem::canonical(source->name(i)).string());
  }
  EXPECT_EQ(static_cast<int64_t>(files.size()), before->size() + 1);
}

TEST(ImageFolder, APipeIsABadImage) {
  const TemporaryFolder folder;
  make_image_folder(folder);
  const std::string class_folder =
      folder / "train/" + open_source("imagefolder", folder.path(), Split::train)->class_names()[0];
  ASSERT_EQ(::mkfifo((class_folder + "/0.jpg").c_str(), 0600), 0);
  const auto source = open_source("imagefolder", folder.path(), Split::train);
  EXPECT_TRUE(fails_with([&] { source->load(0); }, {"0.jpg", "is not a regular file"}));
}

TEST(ImageFolder, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_THAT(usage_error("imagefolder", folder.path()), HasSubstr("is empty; wanted train/"));
  EXPECT_THAT(usage_error("imagefolder", folder / "nowhere"), HasSubstr("does not exist"));
  fs::create_directories(folder / "train");
  EXPECT_THAT(usage_error("imagefolder", folder.path()), HasSubstr("one folder of images per class"));
  put(folder / "train/cat/readme.txt", "");
  EXPECT_THAT(usage_error("imagefolder", folder.path()), HasSubstr("holds readme.txt; wanted JPEG"));
  EXPECT_THAT(usage_error("imagefolder", folder.path(), Split::val), HasSubstr("wanted val/"));
}

TEST(OpenSource, NamesAreSortedAndComplete) {
  const std::vector<std::string> names = source_names();
  EXPECT_EQ(names.front(), "auto");
  EXPECT_TRUE(std::is_sorted(names.begin() + 1, names.end()));
  EXPECT_THAT(names, IsSupersetOf({"cifar10", "cifar100", "fashion-mnist", "imagefolder", "synthetic"}));
}

TEST(OpenSource, SaysWhatItFoundAndWhatItWants) {
  const TemporaryFolder folder;
  EXPECT_THAT(usage_error("imagenet", folder.path()),
              AllOf(HasSubstr("dataset: got 'imagenet'"), HasSubstr("one of auto, cifar10")));
  for (int i = 0; i < 8; ++i) {
    put(folder / ("photo" + std::to_string(i) + ".jpg"), "");
  }
  const std::string message = usage_error("auto", folder.path());
  EXPECT_THAT(message, HasSubstr("holds photo0.jpg, photo1.jpg"));
  EXPECT_THAT(message, HasSubstr("and 2 more"));
  EXPECT_THAT(message, HasSubstr("imagefolder: train/CLASS/*.jpg"));
  EXPECT_THAT(usage_error("auto", folder / "photo0.jpg"), HasSubstr("is not a folder"));
}

TEST(OpenSource, AnAmbiguousFolderIsAnError) {
  const TemporaryFolder folder;
  make_image_folder(folder);
  EXPECT_EQ(detect_source(folder.path()), "imagefolder");
  put(folder / "train-images-idx3-ubyte", "");
  EXPECT_THAT(usage_error("auto", folder.path()), HasSubstr("looks like fashion-mnist and imagefolder"));
}

/// One record of `labels` and a plane of each color.
std::string cifar_record(std::initializer_list<int> labels, char red, char green, char blue) {
  std::string record;
  for (const int label : labels) {
    record += static_cast<char>(label);
  }
  record += std::string(1024, red) + std::string(1024, green) + std::string(1024, blue);
  record[labels.size() + 33] = 'R';  // row 1, column 1
  return record;
}

void make_cifar10(const std::string& folder) {
  for (int file = 1; file <= 5; ++file) {
    put(folder + "/data_batch_" + std::to_string(file) + ".bin",
        cifar_record({file}, 'r', 'g', 'b') + cifar_record({9}, 'x', 'y', static_cast<char>('0' + file)));
  }
  put(folder + "/test_batch.bin", cifar_record({7}, 1, 2, 3));
  put(folder + "/batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
}

TEST(OpenSource, AClassNameIsUtf8) {
  const TemporaryFolder folder;
  make_image_folder(folder);
  put(folder / "train/na\xefve/a.bmp", encode_bmp(pattern_image(5, 6)));
  EXPECT_THAT(usage_error("imagefolder", folder.path()), HasSubstr("not UTF-8"));
  make_cifar10(folder / "cifar");
  put(folder / "cifar/batches.meta.txt", "airplane\nna\xefve\ncat\ncar\nbird\ndeer\ndog\nfrog\nship\ntruck\n");
  EXPECT_THAT(usage_error("cifar10", folder / "cifar"), HasSubstr("not UTF-8"));
}

TEST(Cifar, ReadsTheTenClassLayout) {
  const TemporaryFolder folder;
  make_cifar10(folder / "cifar-10-batches-bin");
  for (const std::string& path : {folder.path(), folder / "cifar-10-batches-bin"}) {
    const auto train = open_source("auto", path, Split::train);
    ASSERT_EQ(train->size(), 10);
    EXPECT_EQ(train->fixed_size(), (ImageSize{32, 32}));
    EXPECT_EQ(train->class_names()[3], "cat");
    EXPECT_EQ(train->label(4), 3);
    EXPECT_EQ(train->label(5), 9);
    const Image image = train->load(4);
    EXPECT_EQ(image.size(), (ImageSize{32, 32}));
    EXPECT_EQ(std::string(image.row(0), image.row(0) + 6), "rgbrgb");
    EXPECT_EQ(std::string(image.row(1), image.row(1) + 6), "rgbRgb") << "planes become interleaved channels, row by row";
    EXPECT_EQ(train->load(9).row(31)[95], '5') << "the last byte of the last file";
    EXPECT_EQ(open_source("cifar10", path, Split::val)->label(0), 7);
  }
}

TEST(Cifar, ReadsTheHundredClassLayout) {
  const TemporaryFolder folder;
  put(folder / "train.bin", cifar_record({19, 99}, 'r', 'g', 'b'));
  put(folder / "test.bin", cifar_record({3, 42}, 1, 2, 3) + cifar_record({4, 43}, 1, 2, 3));
  std::string names;
  for (int i = 0; i < 100; ++i) {
    names += "class" + std::to_string(i) + "\r\n";
  }
  put(folder / "fine_label_names.txt", names);
  const auto train = open_source("auto", folder.path(), Split::train);
  EXPECT_EQ(train->label(0), 99) << "the fine label, after the coarse one";
  EXPECT_EQ(train->class_names()[99], "class99");
  const Image image = train->load(0);
  EXPECT_EQ(std::string(image.row(0), image.row(0) + 3), "rgb");
  EXPECT_EQ(open_source("cifar100", folder.path(), Split::val)->size(), 2);
}

TEST(Cifar, RefusesDamagedFiles) {
  const TemporaryFolder folder;
  make_cifar10(folder.path());
  const auto error = [&]() -> std::string {
    try {
      open_source("cifar10", folder.path(), Split::train);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  ASSERT_EQ(error(), "");
  put(folder / "data_batch_3.bin", cifar_record({1}, 1, 2, 3).substr(0, 3000));
  EXPECT_THAT(error(), HasSubstr("data_batch_3.bin: 3000 bytes"));
  put(folder / "data_batch_3.bin", cifar_record({10}, 1, 2, 3));
  EXPECT_THAT(error(), HasSubstr("label 10; wanted 0 to 9"));
  fs::remove(folder / "data_batch_3.bin");
  EXPECT_THAT(error(), HasSubstr("has no data_batch_3.bin"));
  make_cifar10(folder.path());
  put(folder / "batches.meta.txt", "one\ntwo\n");
  EXPECT_THAT(error(), HasSubstr("2 class names; wanted 10"));
  fs::remove(folder / "batches.meta.txt");
  EXPECT_THAT(error(), HasSubstr("batches.meta.txt"));
  EXPECT_THAT(usage_error("cifar10", folder / "elsewhere"), HasSubstr("does not exist"));
}

TEST(Synthetic, DependsOnSeedSplitAndIndexAlone) {
  const SyntheticSet set{.image_size = 24, .images = 40, .seed = 5};
  const auto train = open_synthetic(Split::train, set);
  const auto again = open_synthetic(Split::train, set);
  EXPECT_EQ(train->size(), 40);
  EXPECT_EQ(train->fixed_size(), (ImageSize{24, 24}));
  EXPECT_EQ(train->load(17).pixels, again->load(17).pixels);
  EXPECT_NE(train->load(17).pixels, train->load(27).pixels) << "another image of the same class";
  const auto val = open_synthetic(Split::val, {.image_size = 24, .images = 400, .seed = 5});
  EXPECT_EQ(val->size(), 80);
  EXPECT_NE(train->load(17).pixels, val->load(17).pixels);
  EXPECT_NE(train->load(17).pixels, open_synthetic(Split::train, {.image_size = 24, .images = 40, .seed = 6})->load(17).pixels);
}

TEST(Synthetic, LabelsAreBalanced) {
  const auto source = open_synthetic(Split::train, {.image_size = 40, .classes = 1000, .images = 2000});
  EXPECT_EQ(source->class_names().size(), 1000u);
  EXPECT_EQ(source->label(999), 999);
  EXPECT_EQ(source->label(1000), 0);
}

// The paint is brighter than any background: counting bright pixels tells a bar from a square of the same class size on
// average.
TEST(Synthetic, ShapesDiffer) {
  const auto source = open_synthetic(Split::train, {.image_size = 32, .images = 2000});
  std::vector<double> bright(10);
  for (int64_t i = 0; i < source->size(); ++i) {
    const Image image = source->load(i);
    for (size_t p = 0; p < image.pixels.size(); p += 3) {
      const uint8_t most = std::max({image.pixels[p], image.pixels[p + 1], image.pixels[p + 2]});
      bright[static_cast<size_t>(source->label(i))] += most > 150 ? 1 : 0;
    }
  }
  const double square = bright[1];
  ASSERT_GT(square, 0);
  EXPECT_NEAR(bright[0] / square, 3.1416 / (1.7 * 1.7), 0.15) << "disc";
  EXPECT_NEAR(bright[3] / square, 3.1416 * 0.64 / (1.7 * 1.7), 0.1) << "ring";
  EXPECT_NEAR(bright[5] / square, 2.0 / (1.7 * 1.7), 0.1) << "diamond";
  EXPECT_NEAR(bright[9] / square, 2.0 * 0.7 / (1.7 * 1.7), 0.1) << "bar";
}

TEST(Synthetic, RefusesNonsense) {
  EXPECT_TRUE(fails_with([] { open_synthetic(Split::train, {.classes = 1001}); }, {"synthetic-classes", "from 2 to 1000"}));
  EXPECT_TRUE(fails_with([] { open_synthetic(Split::train, {.classes = 1}); }, {"synthetic-classes"}));
  EXPECT_TRUE(fails_with([] { open_synthetic(Split::train, {.images = -1}); }, {"synthetic-images"}));
  EXPECT_THAT(usage_error("synthetic", "", Split::train, {.image_size = 4}), HasSubstr("wanted 8 to"));
}

}  // namespace
}  // namespace residua::test
