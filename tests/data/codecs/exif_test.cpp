#include "core/data/codecs/exif.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "core/base/error.h"
#include "core/data/codecs/decode.h"
#include "core/data/codecs/jpeg_encode.h"
#include "tests/data/image_fixtures.h"

namespace residua::test {
namespace {

enum Corner : uint8_t { top_left, top_right, bottom_left, bottom_right };

constexpr std::array<uint8_t, 4> kGray = {30, 90, 150, 220};  // of each corner of the stored image

/// 48 x 80 pixels in four quarters.
std::string quarters() {
  Image image;
  image.reset({48, 80});
  for (int64_t y = 0; y < 48; ++y) {
    for (int64_t x = 0; x < 80; ++x) {
      std::fill_n(image.row(y) + 3 * x, 3, kGray[static_cast<size_t>(2 * (y / 24) + x / 40)]);
    }
  }
  return encode_jpeg(image, {.quality = 100});
}

Image decoded(const std::string& bytes, Orientation orientation, const RegionChooser& choose = whole) {
  Image image;
  decode({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "photo", choose, image, {.orientation = orientation});
  return image;
}

// The EXIF standard, tag Orientation: which side of the picture the first row and the first column of the stored image are.
TEST(Exif, TurnsAsTheStandardSays) {
  struct Wanted {
    int orientation;
    Corner left, right;  // of the stored image, that are at the top of the picture
  };
  for (const auto& [orientation, left, right] : std::to_array<Wanted>({{1, top_left, top_right},
                                                                       {2, top_right, top_left},
                                                                       {3, bottom_right, bottom_left},
                                                                       {4, bottom_left, bottom_right},
                                                                       {5, top_left, bottom_left},
                                                                       {6, bottom_left, top_left},
                                                                       {7, bottom_right, top_right},
                                                                       {8, top_right, bottom_right}})) {
    for (const bool big_endian : {true, false}) {
      SCOPED_TRACE(fmt::format("orientation {}, big-endian {}", orientation, big_endian));
      const Image picture = decoded(with_orientation(quarters(), orientation, big_endian), Orientation::exif);
      ASSERT_EQ(picture.size(), (orientation < 5 ? ImageSize{48, 80} : ImageSize{80, 48}));
      EXPECT_NEAR(picture.row(4)[3 * 4], kGray[left], 3);
      EXPECT_NEAR(picture.row(4)[3 * (picture.width - 5)], kGray[right], 3);
      EXPECT_NEAR(picture.row(picture.height - 5)[3 * 4], kGray[3 - right], 3) << "opposite corners";
      EXPECT_NEAR(picture.row(picture.height - 5)[3 * (picture.width - 5)], kGray[3 - left], 3);
    }
  }
}

TEST(Exif, ARegionIsThatOfThePicture) {
  const std::string stored = encode_jpeg(photo_image(61, 83, 5));
  std::mt19937 random(1);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string bytes = with_orientation(stored, orientation);
    const Image full = decoded(bytes, Orientation::exif);
    for (int draw = 0; draw < 20; ++draw) {
      const auto below = [&random](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
      const Rect region = [&] {
        const int64_t top = below(full.height), left = below(full.width);
        return Rect{top, left, 1 + below(full.height - top), 1 + below(full.width - left)};
      }();
      const Image part = decoded(bytes, Orientation::exif, [&](ImageSize size) {
        EXPECT_EQ(size, full.size());
        return region;
      });
      ASSERT_EQ(part.size(), (ImageSize{region.height, region.width}));
      for (int64_t y = 0; y < region.height; ++y) {
        ASSERT_TRUE(std::equal(part.row(y), part.row(y) + 3 * part.width, full.row(region.top + y) + 3 * region.left))
            << "orientation " << orientation << ", row " << y;
      }
    }
    EXPECT_THROW(decoded(bytes, Orientation::exif,
                         [](ImageSize size) {
                           return Rect{0, 0, size.height, size.width + 1};
                         }),
                 Error);
  }
}

TEST(Exif, IsIgnoredUnlessAskedForAndWhereItIsNotValid) {
  const std::string stored = encode_jpeg(photo_image(24, 40, 5));
  const Image as_stored = decoded(stored, Orientation::as_stored);
  const std::string turned = with_orientation(stored, 6);
  EXPECT_EQ(decoded(turned, Orientation::as_stored).pixels, as_stored.pixels);
  EXPECT_EQ(decoded(stored, Orientation::exif).pixels, as_stored.pixels) << "without EXIF data";
  for (const int orientation : {0, 9, 65535}) {
    EXPECT_EQ(decoded(with_orientation(stored, orientation), Orientation::exif).pixels, as_stored.pixels) << orientation;
  }
  EXPECT_EQ(decoded(with_orientation(stored, 6, true, 4), Orientation::exif).pixels, decoded(turned, Orientation::exif).pixels)
      << "a LONG, which is not the standard, but which Pillow reads too";
  EXPECT_EQ(decoded(encode_png(photo_image(24, 40, 5)), Orientation::exif).size(), (ImageSize{24, 40}));
}

// Pillow finds the orientation of each of these: the first APP1 segment that holds EXIF data counts.
TEST(Exif, IsFoundBehindOtherSegments) {
  const std::string stored = encode_jpeg(photo_image(24, 40, 5));
  const std::string turned = with_orientation(stored, 6);
  const auto segment = [](char marker, const std::string& contents) {
    const size_t length = contents.size() + 2;
    return std::string("\xff") + marker + static_cast<char>(length >> 8) + static_cast<char>(length) + contents;
  };
  const Image wanted = decoded(turned, Orientation::exif);
  ASSERT_EQ(wanted.size(), (ImageSize{40, 24}));
  for (const std::string& before :
       {segment('\xfe', "a comment"), segment('\xfe', "Exif MM* \xff\xe1 in a comment"),
        segment('\xe1', std::string("http://ns.adobe.com/xap/1.0/\0<x/>", 34)), segment('\xed', std::string(40000, 'x')),
        segment('\xe1', ""), std::string("\xff\xff") + segment('\xfe', "fill bytes")}) {
    const std::string bytes = turned.substr(0, 2) + before + turned.substr(2);
    EXPECT_EQ(decoded(bytes, Orientation::exif).pixels, wanted.pixels) << before.substr(0, 20);
  }
  EXPECT_EQ(decoded(stored + turned, Orientation::exif).size(), (ImageSize{24, 40})) << "behind the image";
}

TEST(Exif, AWrittenSegmentIsReadAgain) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    std::vector<uint8_t> jpeg;
    residua::encode_jpeg(photo_image(24, 40, 5), 90, jpeg, exif_segment(orientation));
    EXPECT_EQ(exif_orientation(jpeg), orientation);
  }
}

TEST(Exif, DamagedDataNeverHarm) {
  const std::string bytes = with_orientation(encode_jpeg(photo_image(16, 24, 5)), 6);
  std::mt19937 random(2);
  for (int draw = 0; draw < 2000; ++draw) {
    std::string damaged = bytes;
    for (int flips = 0; flips < 3; ++flips) {
      damaged[6 + random() % 32] = static_cast<char>(random());  // in the EXIF data
    }
    const Image picture = decoded(damaged, Orientation::exif);
    ASSERT_TRUE(picture.size() == (ImageSize{16, 24}) || picture.size() == (ImageSize{24, 16}));
  }
}

}  // namespace
}  // namespace residua::test
