#include "core/data/codecs/png_encode.h"

#include <gtest/gtest.h>

#include "core/data/codecs/decode.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/compare.h"

namespace residua::test {
namespace {

TEST(PngEncode, KeepsEveryPixel) {
  for (const ImageSize size : {ImageSize{1, 1}, ImageSize{3, 7}, ImageSize{64, 1}, ImageSize{33, 50}}) {
    const Image image = pattern_image(size.height, size.width);
    std::string png = "of before";
    encode_png(image, png);
    const Image again = decode({reinterpret_cast<const uint8_t*>(png.data()), png.size()}, "image");
    EXPECT_EQ(again.size(), size);
    EXPECT_TRUE(again.pixels == image.pixels) << size.height << " x " << size.width;
  }
}

TEST(PngEncode, RefusesAnImageWithoutPixels) {
  std::string png;
  EXPECT_TRUE(fails_with([&] { encode_png(Image{}, png); }, {"cannot encode a PNG of 0x0 pixels"}));
}

}  // namespace
}  // namespace residua::test
