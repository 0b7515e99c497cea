#include "core/data/codecs/resize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "tests/data/image_fixtures.h"

namespace residua::test {
namespace {

Image crop(const Image& image, const Rect& rect) {
  Image out;
  out.reset({rect.height, rect.width});
  for (int64_t y = 0; y < rect.height; ++y) {
    std::copy_n(image.row(rect.top + y) + 3 * rect.left, 3 * rect.width, out.row(y));
  }
  return out;
}

std::vector<uint8_t> scaled(const Image& image, const Resize& resize) {
  std::vector<uint8_t> out(static_cast<size_t>(resize.window.height * resize.window.width * 3));
  static ResizeMemory memory;  // as a loader thread keeps it, from one size to another
  scale(resize, crop(image, source_region(resize)), out.data(), memory);
  return out;
}

/// The formula of the header, in double precision and with every weight.
std::vector<double> reference(const Image& image, const Resize& r) {
  const auto weight = [](int64_t in, int64_t out, int64_t i, int64_t j) {
    const double step = static_cast<double>(in) / static_cast<double>(out);
    return std::max(0.0,
                    1.0 - std::abs(static_cast<double>(j) + 0.5 - (static_cast<double>(i) + 0.5) * step) / std::max(step, 1.0));
  };
  std::vector<double> out;
  for (int64_t y = r.window.top; y < r.window.top + r.window.height; ++y) {
    for (int64_t x = r.window.left; x < r.window.left + r.window.width; ++x) {
      double sums[3] = {};
      double total = 0;
      for (int64_t i = 0; i < r.domain.height; ++i) {
        for (int64_t j = 0; j < r.domain.width; ++j) {
          const double w = weight(r.domain.height, r.resized.height, y, i) * weight(r.domain.width, r.resized.width, x, j);
          total += w;
          for (int64_t c = 0; c < 3; ++c) {
            sums[c] += w * image.row(r.domain.top + i)[3 * (r.domain.left + j) + c];
          }
        }
      }
      for (const double sum : sums) {
        out.push_back(sum / total);
      }
    }
  }
  return out;
}

void expect_reference(const Image& image, const Resize& resize) {
  const std::vector<uint8_t> got = scaled(image, resize);
  const std::vector<double> wanted = reference(image, resize);
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(got[i] - wanted[i]), 0.5 + 1e-3) << "at " << i;
  }
}

struct PilCase {
  ImageSize in;
  ImageSize out;
  std::vector<int> pixels;
};

// Image.fromarray(pattern).resize((width, height), Image.BILINEAR) of Pillow 13.0. It rounds between the axes too, hence the 1.
TEST(Resize, AgreesWithPil) {
  const std::vector<PilCase> cases{
      {{7, 9}, {3, 4}, {103, 132, 143, 123, 127, 146, 127, 138, 130, 105, 129, 140, 119, 134, 130, 140, 140, 132,
                        141, 135, 126, 135, 125, 121, 112, 154, 125, 120, 134, 110, 147, 136, 118, 121, 144, 116}},
      {{5, 4}, {8, 3}, {11,  64,  117, 56,  109, 162, 100, 153, 206, 52,  105, 158, 100, 153, 150, 148, 123, 142,
                        110, 158, 200, 155, 200, 133, 201, 86,  67,  168, 169, 98,  139, 104, 117, 110, 107, 136,
                        146, 147, 76,  123, 88,  141, 98,  151, 148, 44,  92,  134, 106, 151, 204, 167, 220, 104,
                        86,  139, 150, 161, 142, 123, 135, 145, 119, 127, 180, 157, 206, 131, 56,  104, 81,  134}},
      {{4, 5}, {4, 5}, {0,   53,  106, 37,  90,  143, 74, 127, 180, 111, 164, 217, 148, 201, 254, 91,  144, 197, 135, 188,
                        241, 179, 232, 29,  223, 20,  73, 11,  64,  117, 182, 235, 32,  233, 30,  83,  28,  81,  134, 79,
                        132, 185, 130, 183, 236, 17,  70, 123, 75,  128, 181, 133, 186, 239, 191, 244, 41,  249, 46,  99}},
      {{6, 13}, {5, 2}, {105, 130, 150, 113, 139, 125, 127, 131, 134, 123, 127, 137, 132, 135, 131,
                         132, 134, 131, 140, 137, 128, 140, 137, 132, 127, 139, 111, 122, 128, 113}},
      {{3, 3}, {5, 7}, {0,   53,  106, 5,   58,  111, 21,  74,  127, 37,  90,  143, 53,  106, 159, 69,  122, 175,
                        74,  127, 180, 36,  89,  142, 42,  95,  148, 59,  112, 165, 76,  129, 182, 93,  146, 155,
                        111, 164, 129, 116, 169, 120, 91,  144, 197, 97,  150, 203, 116, 169, 222, 135, 188, 241,
                        154, 207, 150, 173, 226, 59,  179, 232, 29,  146, 199, 98,  152, 184, 105, 173, 138, 125,
                        194, 93,  146, 149, 114, 123, 103, 135, 100, 88,  141, 92,  182, 235, 32,  189, 206, 39,
                        211, 118, 61,  233, 30,  83,  145, 52,  105, 57,  74,  127, 28,  81,  134}},
  };
  for (const PilCase& c : cases) {
    SCOPED_TRACE(std::to_string(c.in.height) + " x " + std::to_string(c.in.width));
    const Image image = pattern_image(c.in.height, c.in.width);
    const std::vector<uint8_t> got = scaled(image, {whole(c.in), c.out, whole(c.out)});
    ASSERT_EQ(got.size(), c.pixels.size());
    int64_t differing = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_LE(std::abs(got[i] - c.pixels[i]), 1) << "at " << i;
      differing += got[i] != c.pixels[i] ? 1 : 0;
    }
    EXPECT_LE(differing, static_cast<int64_t>(got.size() / 4));
  }
}

TEST(Resize, AgreesWithTheFormulaForManySizes) {
  for (const ImageSize in : {ImageSize{1, 1}, {1, 40}, {37, 1}, {23, 31}, {40, 17}}) {
    const Image image = pattern_image(in.height, in.width);
    for (const ImageSize out : {ImageSize{1, 1}, {2, 3}, {13, 13}, {32, 5}, {41, 64}}) {
      SCOPED_TRACE(fmt::format("{} x {} to {} x {}", in.height, in.width, out.height, out.width));
      expect_reference(image, {whole(in), out, whole(out)});
    }
  }
}

TEST(Resize, TakesDomainsAndWindows) {
  const Image image = pattern_image(50, 60);
  expect_reference(image, {{3, 5, 41, 44}, {20, 30}, {2, 7, 11, 13}});
  expect_reference(image, {{3, 5, 20, 9}, {40, 90}, {21, 60, 19, 30}});
  expect_reference(image, {{49, 59, 1, 1}, {6, 6}, {5, 5, 1, 1}});
}

TEST(Resize, OfEqualSizeCopies) {
  const Image image = pattern_image(9, 11);
  EXPECT_EQ(scaled(image, {{0, 0, 9, 11}, {9, 11}, {0, 0, 9, 11}}), image.pixels);
  EXPECT_EQ(source_region({{1, 2, 7, 8}, {7, 8}, {3, 4, 2, 3}}), (Rect{4, 6, 2, 3}));
  EXPECT_EQ(scaled(image, {{1, 2, 7, 8}, {7, 8}, {3, 4, 2, 3}}), crop(image, {4, 6, 2, 3}).pixels);
}

TEST(Resize, KeepsAFlatImageFlat) {
  Image image;
  image.reset({33, 47});
  std::fill(image.pixels.begin(), image.pixels.end(), uint8_t{255});
  const std::vector<uint8_t> got = scaled(image, {{0, 0, 33, 47}, {17, 91}, {0, 0, 17, 91}});
  EXPECT_TRUE(std::all_of(got.begin(), got.end(), [](uint8_t value) { return value == 255; }));
}

TEST(Resize, KeepsItsMemory) {
  ResizeMemory memory;
  std::vector<uint8_t> out(40 * 40 * 3);
  const auto run = [&](int64_t side) {
    const Image image = pattern_image(side, side);
    const Resize resize{{0, 0, side, side}, {40, 40}, {0, 0, 40, 40}};
    scale(resize, crop(image, source_region(resize)), out.data(), memory);
    return std::vector<const void*>{memory.row.data(), memory.vertical.first.data(), memory.vertical.weights.data(),
                                    memory.horizontal.first.data(), memory.horizontal.weights.data()};
  };
  const auto most = run(211);
  for (const int64_t side : {97, 30, 200, 211}) {
    EXPECT_EQ(run(side), most) << side;
  }
}

TEST(Resize, RefusesWhatItCannotDo) {
  const Image image = pattern_image(9, 11);
  uint8_t pixel[3];
  ResizeMemory memory;
  EXPECT_THROW(source_region({{0, 0, 0, 11}, {4, 4}, {0, 0, 4, 4}}), Error);
  EXPECT_THROW(source_region({{0, 0, 9, 11}, {4, 4}, {1, 1, 4, 4}}), Error);
  EXPECT_THROW(scale({{0, 0, 10, 11}, {1, 1}, {0, 0, 1, 1}}, image, pixel, memory), Error) << "a region of the wrong size";
}

}  // namespace
}  // namespace residua::test
