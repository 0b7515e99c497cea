#include "core/data/codecs/jpeg_encode.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/data/codecs/decode.h"
#include "tests/data/image_fixtures.h"

namespace residua::test {
namespace {

/// A gray ramp with a slow change of color: JPEG keeps it nearly as it is.
Image smooth_image(int64_t height, int64_t width) {
  Image image;
  image.reset({height, width});
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        image.row(y)[3 * x + c] = static_cast<uint8_t>(40 + x + y / 2 + 10 * c);
      }
    }
  }
  return image;
}

double mean_difference(const Image& a, const Image& b) {
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    sum += std::abs(static_cast<int>(a.pixels[i]) - static_cast<int>(b.pixels[i]));
  }
  return sum / static_cast<double>(a.pixels.size());
}

TEST(JpegEncode, DecodesToNearlyTheSamePixels) {
  std::vector<uint8_t> bytes;
  for (const ImageSize size : {ImageSize{1, 1}, {7, 33}, {64, 48}, {17, 8}}) {
    const Image image = smooth_image(size.height, size.width);
    encode_jpeg(image, 90, bytes);
    EXPECT_EQ(image_format(bytes), ImageFormat::jpeg);
    const Image decoded = decode(bytes, "encoded");
    ASSERT_EQ(decoded.size(), size);
    EXPECT_LT(mean_difference(image, decoded), 1.5) << size.height << " x " << size.width;
  }
}

TEST(JpegEncode, QualityTradesBytesForPixels) {
  const Image image = photo_image(64, 80, 3);
  std::vector<uint8_t> low, high, again;
  encode_jpeg(image, 30, low);
  encode_jpeg(image, 95, high);
  encode_jpeg(image, 30, again);
  EXPECT_EQ(low, again);
  EXPECT_LT(2 * low.size(), high.size());
  EXPECT_LT(mean_difference(image, decode(high, "high")), mean_difference(image, decode(low, "low")));
  // libjpeg's own encoder, with its fixed Huffman tables, in the fixtures: the same pixels in more bytes.
  const std::string fixed = encode_jpeg(image, {.quality = 95});
  EXPECT_EQ(decode(high, "high").pixels,
            decode({reinterpret_cast<const uint8_t*>(fixed.data()), fixed.size()}, "fixed").pixels);
  EXPECT_LT(high.size(), fixed.size());
}

TEST(JpegEncode, RefusesSizesThatJpegHasNot) {
  std::vector<uint8_t> bytes;
  EXPECT_THROW(encode_jpeg(Image(), 90, bytes), Error);
  Image wide;
  wide.reset({1, 65536});
  EXPECT_THROW(encode_jpeg(wide, 90, bytes), Error);
}

}  // namespace
}  // namespace residua::test
