#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "core/base/error.h"
#include "core/data/source.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::HasSubstr;

std::string big_endian(std::initializer_list<uint32_t> numbers) {
  std::string bytes;
  for (const uint32_t number : numbers) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes += static_cast<char>(number >> shift & 0xffu);
    }
  }
  return bytes;
}

void write_gzip(const std::string& path, const std::string& bytes) {
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())), static_cast<int>(bytes.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
}

std::string two_images() { return big_endian({0x803, 2, 28, 28}) + std::string(784, 'a') + std::string(783, 'b') + 'z'; }
std::string two_labels() { return big_endian({0x801, 2}) + '\x03' + '\x09'; }

/// The message of the error that opening the training split throws, or "".
std::string failure(const TemporaryFolder& folder) {
  try {
    open_source("fashion-mnist", folder.path(), Split::train);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(FashionMnist, ReadsCompressedAndPlainFiles) {
  const TemporaryFolder folder;
  write_gzip(folder / "train-images-idx3-ubyte.gz", two_images());
  write_bytes(folder / "train-labels-idx1-ubyte", two_labels());
  const auto source = open_source("auto", folder.path(), Split::train);
  ASSERT_EQ(source->size(), 2);
  EXPECT_EQ(source->label(0), 3);
  EXPECT_EQ(source->label(1), 9);
  EXPECT_EQ(source->class_names()[9], "Ankle boot");
  EXPECT_EQ(source->fixed_size(), (ImageSize{32, 32}));
  const Image image = source->load(1);
  EXPECT_EQ(image.row(1)[3 * 5], 0) << "two rows of border";
  EXPECT_EQ(image.row(2)[3 * 1 + 2], 0) << "two columns of border";
  EXPECT_EQ(image.row(2)[3 * 2], 'b');
  EXPECT_EQ(std::string(image.row(29) + 3 * 29, image.row(29) + 3 * 31), std::string("zzz\0\0\0", 6));
  EXPECT_EQ(image.row(30)[3 * 10], 0);
}

TEST(FashionMnist, RefusesWrongHeaders) {
  const TemporaryFolder folder;
  const std::string images = folder / "train-images-idx3-ubyte";
  const std::string labels = folder / "train-labels-idx1-ubyte";
  write_bytes(images, two_images());
  write_bytes(labels, two_labels());
  ASSERT_EQ(failure(folder), "");

  write_bytes(labels, two_images());
  EXPECT_THAT(failure(folder), HasSubstr("is 0x803, wanted 0x801"));
  write_bytes(labels, big_endian({0x801, 3}) + std::string(3, '\0'));
  EXPECT_THAT(failure(folder), HasSubstr("2 images, but there are 3 labels"));
  write_bytes(labels, big_endian({0x801, 2}) + '\x03' + '\x0a');
  EXPECT_THAT(failure(folder), HasSubstr("label 10"));
  write_bytes(labels, big_endian({0x801, 4'000'000'000}));
  EXPECT_THAT(failure(folder), HasSubstr("at most"));
  write_bytes(labels, two_labels());
  write_bytes(images, big_endian({0x803, 2, 28, 27}) + std::string(2 * 784, 'a'));
  EXPECT_THAT(failure(folder), HasSubstr("number of columns is 0x1b, wanted 0x1c"));
}

TEST(FashionMnist, RefusesTruncatedAndOverlongFiles) {
  const TemporaryFolder folder;
  const std::string images = folder / "train-images-idx3-ubyte";
  write_bytes(folder / "train-labels-idx1-ubyte", two_labels());
  write_bytes(images, two_images().substr(0, 1000));
  EXPECT_THAT(failure(folder), HasSubstr("ends early"));
  write_bytes(images, two_images() + "x");
  EXPECT_THAT(failure(folder), HasSubstr("more data than its header says"));
  std::filesystem::remove(images);

  write_gzip(images + ".gz", two_images());
  ASSERT_EQ(failure(folder), "");
  const std::string gzip = read_bytes(images + ".gz");
  for (const size_t cut : {size_t{20}, gzip.size() / 2, gzip.size() - 4}) {
    write_bytes(images + ".gz", gzip.substr(0, cut));
    EXPECT_THAT(failure(folder), HasSubstr("train-images-idx3-ubyte.gz: ")) << cut;
  }
  std::string wrong_checksum = gzip;
  wrong_checksum[gzip.size() - 6] = static_cast<char>(wrong_checksum[gzip.size() - 6] ^ 1);
  write_bytes(images + ".gz", wrong_checksum);
  EXPECT_THAT(failure(folder), HasSubstr("train-images-idx3-ubyte.gz: "));
}

TEST(FashionMnist, SaysWhichFilesItWants) {
  const TemporaryFolder folder;
  EXPECT_THAT(failure(folder), HasSubstr("is empty; wanted train-images-idx3-ubyte.gz"));
  EXPECT_THAT(failure(folder), HasSubstr("dataset-fashion-mnist"));
}

}  // namespace
}  // namespace residua::test
