#include "core/data/codecs/decode.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <string>

#include "core/base/error.h"
#include "core/data/codecs/jpeg.h"
#include "tests/data/image_fixtures.h"

namespace residua::test {
namespace {

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Image decoded(const std::string& bytes) { return decode(bytes_of(bytes), "picture"); }

Image decoded_region(const std::string& bytes, const Rect& region) {
  Image image;
  decode(
      bytes_of(bytes), "picture", [&](ImageSize) { return region; }, image);
  return image;
}

/// The message of the Error that decoding throws, or "" if it throws none.
std::string failure(const std::string& bytes) {
  try {
    decoded(bytes);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

double mean_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) {
    sum += std::abs(a.pixels[i] - b.pixels[i]);
  }
  return sum / static_cast<double>(a.pixels.size());
}

std::vector<JpegSettings> jpeg_kinds() {
  std::vector<JpegSettings> kinds;
  for (const auto& [horizontal, vertical] : {std::pair{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}}) {
    kinds.push_back({.horizontal_sampling = horizontal, .vertical_sampling = vertical});
    kinds.push_back({.horizontal_sampling = horizontal, .vertical_sampling = vertical, .progressive = true});
  }
  kinds.push_back({.arithmetic = true});
  kinds.push_back({.restart_interval = 3});
  kinds.push_back({.gray = true});
  return kinds;
}

std::string describe(const JpegSettings& s) {
  return fmt::format("sampling {} x {}, progressive {}, arithmetic {}, gray {}, restarts {}", s.horizontal_sampling,
                     s.vertical_sampling, s.progressive, s.arithmetic, s.gray, s.restart_interval);
}

TEST(Decode, PngAndBmpAreExact) {
  for (const ImageSize size : {ImageSize{1, 1}, {5, 7}, {64, 33}}) {
    const Image image = pattern_image(size.height, size.width);
    EXPECT_EQ(decoded(encode_png(image)).pixels, image.pixels);
    EXPECT_EQ(decoded(encode_bmp(image)).pixels, image.pixels);
    EXPECT_EQ(image_size(bytes_of(encode_png(image)), "picture"), size);
    EXPECT_EQ(image_size(bytes_of(encode_bmp(image)), "picture"), size);
  }
}

TEST(Decode, GrayIsReplicatedAndAlphaDropped) {
  EXPECT_EQ(decoded(encode_png({10, 200}, 1, 2, 1)).pixels, (std::vector<uint8_t>{10, 10, 10, 200, 200, 200}));
  EXPECT_EQ(decoded(encode_png({10, 0, 200, 9}, 1, 2, 2)).pixels, (std::vector<uint8_t>{10, 10, 10, 200, 200, 200}));
  EXPECT_EQ(decoded(encode_png({1, 2, 3, 0, 4, 5, 6, 255}, 2, 1, 4)).pixels, (std::vector<uint8_t>{1, 2, 3, 4, 5, 6}));
}

TEST(Decode, TopDownBmp) {
  const Image image = pattern_image(3, 4);
  std::string bmp = encode_bmp(image);
  // The height is a little-endian number at byte 22; a negative one means that the rows come top row first.
  const int32_t height = -3;
  std::copy_n(reinterpret_cast<const char*>(&height), 4, bmp.data() + 22);
  EXPECT_EQ(image_size(bytes_of(bmp), "picture"), (ImageSize{3, 4}));
  const Image got = decoded(bmp);
  for (int64_t y = 0; y < 3; ++y) {
    EXPECT_TRUE(std::equal(got.row(y), got.row(y) + 12, image.row(2 - y)));
  }
}

TEST(Decode, Pnm) {
  const std::string header = "P6 # by hand\n2 1\n255\n";
  EXPECT_EQ(decoded(header + "abcdef").pixels, (std::vector<uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'}));
  EXPECT_EQ(decoded(std::string("P5\n2 1\n3\n\0\2", 11)).pixels, (std::vector<uint8_t>{0, 0, 0, 170, 170, 170}));
  EXPECT_EQ(decoded(std::string("P5 1 1 65535\n\x80\x01", 15)).pixels, (std::vector<uint8_t>{128, 128, 128}));
  EXPECT_NE(failure(header + "abcde").find("ends early"), std::string::npos);
  EXPECT_NE(failure("P6 2").find("header is damaged"), std::string::npos);
  EXPECT_NE(failure("P6 2 2 0\nabc").find("maximum value"), std::string::npos);
}

TEST(Decode, JpegIsCloseToWhatWasEncoded) {
  const Image image = photo_image(61, 83, 1);
  EXPECT_LT(
      mean_difference(decoded(encode_jpeg(image, {.quality = 98, .horizontal_sampling = 1, .vertical_sampling = 1})), image),
      2);
  for (const JpegSettings& kind : jpeg_kinds()) {
    SCOPED_TRACE(describe(kind));
    const std::string jpeg = encode_jpeg(image, kind);
    EXPECT_EQ(jpeg_size(bytes_of(jpeg), "picture"), (ImageSize{61, 83}));
    const Image got = decoded(jpeg);
    if (kind.gray) {
      for (size_t i = 0; i < got.pixels.size(); i += 3) {
        ASSERT_EQ(got.pixels[i], got.pixels[i + 1]);
        ASSERT_EQ(got.pixels[i], got.pixels[i + 2]);
      }
    } else {
      EXPECT_LT(mean_difference(got, image), 12);
    }
  }
}

TEST(Decode, CmykJpegIsConverted) {
  constexpr int64_t kHeight = 8;
  constexpr int64_t kWidth = 16;
  std::vector<uint8_t> cmyk;
  for (int64_t i = 0; i < kHeight * kWidth; ++i) {
    cmyk.insert(cmyk.end(), {200, 100, 50, 128});
  }
  for (const bool ycck : {false, true}) {
    const std::string jpeg = encode_cmyk_jpeg(cmyk, kHeight, kWidth, ycck);
    for (const Image& image : {decoded(jpeg), decoded_region(jpeg, {2, 3, 4, 5})}) {
      for (size_t i = 0; i < image.pixels.size(); i += 3) {
        ASSERT_NEAR(image.pixels[i], 200 * 128 / 255, 2);
        ASSERT_NEAR(image.pixels[i + 1], 100 * 128 / 255, 2);
        ASSERT_NEAR(image.pixels[i + 2], 50 * 128 / 255, 2);
      }
    }
  }
}

void expect_region(const std::string& jpeg, const Image& full, const Rect& region) {
  SCOPED_TRACE(fmt::format("{} x {} at ({}, {})", region.height, region.width, region.top, region.left));
  const Image got = decoded_region(jpeg, region);
  ASSERT_EQ(got.size(), (ImageSize{region.height, region.width}));
  for (int64_t y = 0; y < region.height; ++y) {
    const uint8_t* wanted = full.row(region.top + y) + 3 * region.left;
    ASSERT_TRUE(std::equal(got.row(y), got.row(y) + 3 * region.width, wanted)) << "row " << y;
  }
}

// The point of decoding a region is that nobody can tell.
TEST(Decode, JpegRegionsAreThePixelsOfTheWholeDecode) {
  std::mt19937_64 engine(5);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(engine() % static_cast<uint64_t>(n)); };
  for (const ImageSize size : {ImageSize{97, 131}, {64, 64}, {33, 300}, {7, 5}}) {
    const Image image = photo_image(size.height, size.width, 3);
    for (const JpegSettings& kind : jpeg_kinds()) {
      SCOPED_TRACE(describe(kind));
      const std::string jpeg = encode_jpeg(image, kind);
      const Image full = decoded(jpeg);
      std::vector<Rect> regions{whole(size), {0, 0, 1, 1}, {size.height - 1, size.width - 1, 1, 1}};
      for (int i = 0; i < 40; ++i) {
        const int64_t height = 1 + below(size.height);
        const int64_t width = 1 + below(size.width);
        regions.push_back({below(size.height - height + 1), below(size.width - width + 1), height, width});
      }
      for (const Rect& region : regions) {
        expect_region(jpeg, full, region);
        if (HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

TEST(Decode, RegionsOfOtherFormats) {
  const Image image = pattern_image(20, 30);
  for (const std::string& bytes : {encode_png(image), encode_bmp(image)}) {
    expect_region(bytes, image, {3, 4, 11, 9});
  }
  const std::string pnm = "P6 30 20 255\n" + std::string(image.pixels.begin(), image.pixels.end());
  expect_region(pnm, image, {3, 4, 11, 9});
  for (const std::string& bytes : {encode_png(image), encode_jpeg(image), encode_bmp(image), pnm}) {
    EXPECT_THROW(decoded_region(bytes, {0, 0, 21, 30}), Error);
    EXPECT_THROW(decoded_region(bytes, {-1, 0, 2, 2}), Error);
    EXPECT_THROW(decoded_region(bytes, {0, 0, 0, 2}), Error);
  }
}

TEST(Decode, TruncatedFilesAreErrorsThatNameThem) {
  const Image image = photo_image(40, 50, 2);
  const std::string pnm = "P6 50 40 255\n" + std::string(image.pixels.begin(), image.pixels.end());
  for (const std::string& whole_file :
       {encode_jpeg(image), encode_jpeg(image, {.progressive = true}), encode_png(image), encode_bmp(image), pnm}) {
    ASSERT_EQ(failure(whole_file), "");
    for (const double part : {0.0, 0.01, 0.1, 0.5, 0.9, 0.999}) {
      const std::string cut = whole_file.substr(0, static_cast<size_t>(part * static_cast<double>(whole_file.size())));
      EXPECT_EQ(failure(cut).substr(0, 9), "picture: ") << whole_file.substr(0, 4) << " cut to " << cut.size();
    }
  }
}

TEST(Decode, SaysWhatItGot) {
  EXPECT_NE(failure("").find("empty"), std::string::npos);
  EXPECT_NE(failure("hello, this is no image").find("wanted JPEG, PNG, BMP or PNM"), std::string::npos);
  EXPECT_NE(failure("RIFF....WEBPVP8 ").find("WebP"), std::string::npos);
  EXPECT_NE(failure("GIF89a").find("GIF"), std::string::npos);
  // stb_image knows these too; none of them is built in.
  for (const char* magic : {"8BPS\0\1", "#?RADIANCE\n", "\x53\x80\xf6\x34", "II*\0", "\0\0\2\0"}) {
    EXPECT_NE(failure(std::string(magic, 4) + std::string(64, '\1')).find("wanted JPEG, PNG, BMP or PNM"), std::string::npos);
  }
  EXPECT_NE(failure("P3 1 1 255 1 2 3").find("neither P5 nor P6"), std::string::npos);
  EXPECT_THROW(image_size(bytes_of("nonsense"), "picture"), Error);
}

void put_number(std::string& bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) {
    bytes[at + i] = static_cast<char>(value >> (8 * i) & 0xffu);
  }
}

std::string big_endian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string text = type + data;
  const uLong checksum = ::crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size()));
  return big_endian(static_cast<uint32_t>(data.size())) + text + big_endian(static_cast<uint32_t>(checksum));
}

// stb_image would take these colors from memory that nobody has written.
TEST(Decode, ColorsThatAPaletteLacksAreBlack) {
  const std::vector<uint8_t> wanted{10, 20, 30, 40, 50, 60, 0, 0, 0, 0, 0, 0};  // of pixels 0, 1, 2 and 200
  std::string bmp("BM", 2);
  bmp.resize(54);
  put_number(bmp, 10, 54 + 2 * 4);
  put_number(bmp, 14, 40);
  put_number(bmp, 18, 4);
  put_number(bmp, 22, 1);
  put_number(bmp, 26, 1 | 8 << 16);  // planes, bits
  bmp += std::string("\x1e\x14\x0a\0\x3c\x32\x28\0", 8) + std::string("\0\1\2\xc8", 4);
  EXPECT_EQ(decoded(bmp).pixels, wanted);
  const std::string rows("\0\0\1\2\xc8", 5);  // the filter, then the pixels
  std::string packed(64, '\0');
  uLongf bytes = packed.size();
  ASSERT_EQ(
      ::compress(reinterpret_cast<Bytef*>(packed.data()), &bytes, reinterpret_cast<const Bytef*>(rows.data()), rows.size()),
      Z_OK);
  const std::string png = std::string("\x89PNG\r\n\x1a\n") +
                          png_chunk("IHDR", big_endian(4) + big_endian(1) + std::string("\x08\3\0\0\0", 5)) +
                          png_chunk("PLTE", std::string("\x0a\x14\x1e\x28\x32\x3c", 6)) +
                          png_chunk("IDAT", packed.substr(0, bytes)) + png_chunk("IEND", "");
  EXPECT_EQ(decoded(png).pixels, wanted);
}

TEST(Decode, ABmpWhosePaletteCannotBeFoundIsRefused) {
  std::string bmp = encode_bmp(pattern_image(4, 4));
  put_number(bmp, 10, 53);  // where the pixels begin
  EXPECT_NE(failure(bmp).find("its pixels begin at byte 53, inside the header"), std::string::npos) << failure(bmp);
  put_number(bmp, 10, 26);
  put_number(bmp, 14, 12);           // the header of OS/2
  put_number(bmp, 18, 4 | 4 << 16);  // width, height
  put_number(bmp, 22, 1 | 8 << 16);  // planes, bits
  EXPECT_NE(failure(bmp).find("a BMP of OS/2 with a palette is not supported"), std::string::npos) << failure(bmp);
}

// stb_image calls all of these an unknown image type.
TEST(Decode, SaysWhyABmpOrPngCannotBeRead) {
  std::string bmp = encode_bmp(pattern_image(4, 4));
  put_number(bmp, 30, 1);  // the kind of compression
  EXPECT_NE(failure(bmp).find("picture: a BMP with run-length encoding (RLE) is not supported"), std::string::npos);
  put_number(bmp, 30, 4);
  EXPECT_NE(failure(bmp).find("compression 4"), std::string::npos);
  put_number(bmp, 30, 0);
  put_number(bmp, 18, 1 << 20);  // the width
  put_number(bmp, 22, 1 << 20);
  EXPECT_NE(failure(bmp).find("the header says 1048576 x 1048576 pixels; wanted at least 1 and at most"), std::string::npos);
  put_number(bmp, 18, 20'000'000);
  put_number(bmp, 22, 1);
  EXPECT_NE(failure(bmp).find("BMP ends early, at byte 102; its pixels end at byte 60000054"), std::string::npos)
      << failure(bmp);
  put_number(bmp, 14, 7);  // the length of the header
  EXPECT_NE(failure(bmp).find("header is damaged"), std::string::npos);
  std::string png = encode_png(pattern_image(4, 4));
  png.replace(16, 8, std::string("\0\x10\0\0\0\x10\0\0", 8));
  EXPECT_NE(failure(png).find("the header says 1048576 x 1048576 pixels"), std::string::npos);
  png.replace(12, 4, "IDAT");
  EXPECT_NE(failure(png).find("does not start with a header"), std::string::npos);
}

TEST(Decode, AWrongByteInAPngIsNoticed) {
  std::string png = encode_png(photo_image(30, 30, 4));
  png[png.size() / 2] = static_cast<char>(png[png.size() / 2] ^ 1);
  EXPECT_NE(failure(png).find("checksum"), std::string::npos);
}

// Refused from the header alone: none of these files holds any pixels.
TEST(Decode, HugeImagesAreRefusedBeforeDecoding) {
  std::string jpeg = encode_jpeg(pattern_image(8, 8));
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xdc\xff\xdc");  // 65,500 x 65,500
  EXPECT_NE(failure(jpeg).find("at most"), std::string::npos);
  EXPECT_THROW(jpeg_size(bytes_of(jpeg), "picture"), Error);

  std::string bmp = encode_bmp(pattern_image(8, 8));
  bmp.replace(18, 8, std::string("\0\0\1\0\0\0\1\0", 8));  // 65,536 x 65,536
  EXPECT_NE(failure(bmp).find("at most"), std::string::npos);

  EXPECT_NE(failure("P6 65536 65536 255\n").find("at most"), std::string::npos);
  EXPECT_NE(failure("P6 0 4 255\n").find("at least 1"), std::string::npos);
}

TEST(Decode, MaxPixelsCountsThePixelsOfTheHeader) {
  const Image image = photo_image(5, 7, 1);
  const std::string pnm = "P6 7 5 255\n" + std::string(image.pixels.begin(), image.pixels.end());
  const std::string turned = with_orientation(encode_jpeg(image), 6);
  for (const std::string& bytes : {encode_jpeg(image), turned, encode_png(image), encode_bmp(image), pnm}) {
    for (const Orientation orientation : {Orientation::as_stored, Orientation::exif}) {
      Image out;
      decode(bytes_of(bytes), "picture", whole, out, {.orientation = orientation, .max_pixels = 35});
      try {
        decode(bytes_of(bytes), "picture", whole, out, {.orientation = orientation, .max_pixels = 34});
        ADD_FAILURE() << bytes.substr(0, 4);
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(" pixels, 35 in all; max-pixels allows 34"), std::string::npos)
            << error.what();
      }
    }
  }
}

/// A PNG chunk.
std::string chunk(const std::string& kind, const std::string& data) {
  const auto number = [](uint32_t value) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8) {
      text += static_cast<char>(value >> shift);
    }
    return text;
  };
  const std::string checked = kind + data;
  const auto sum = ::crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()));
  return number(static_cast<uint32_t>(data.size())) + checked + number(static_cast<uint32_t>(sum));
}

std::string compressed(const std::string& data) {
  uLongf size = ::compressBound(data.size());
  std::string out(size, '\0');
  ::compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(data.data()), data.size());
  out.resize(size);
  return out;
}

/// An RGB PNG whose header says `size` pixels a side, and whose data are `bytes` zeros.
std::string png_of_zeros(uint32_t side, size_t bytes) {
  std::string header;
  for (int i = 0; i < 2; ++i) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      header += static_cast<char>(side >> shift);
    }
  }
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header + std::string("\x08\x02\0\0\0", 5)) +
         chunk("IDAT", compressed(std::string(bytes, '\0'))) + chunk("IEND", "");
}

/// How much more memory this process has held at once while `act` ran.
template <class Act>
int64_t peak_growth_kib(const Act& act) {
  const auto status = [](const std::string& key) {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with(key)) {
        return std::stoll(line.substr(key.size()));
      }
    }
    return 0LL;
  };
  std::ofstream("/proc/self/clear_refs") << "5";  // makes the peak what is held now
  const int64_t before = status("VmRSS:");
  act();
  return status("VmHWM:") - before;
}

// 16,000 x 16,000 pixels: their decode took 1.4 GB.
TEST(Decode, AHugePngTakesNoMemoryBeforeItIsRefused) {
  const std::string png = png_of_zeros(16'000, 1000);
  std::string what;
  EXPECT_LT(peak_growth_kib([&] { what = failure(png); }), 4096);
  EXPECT_NE(what.find("16000 x 16000 pixels, 256000000 in all; max-pixels allows 90000000"), std::string::npos) << what;
}

// Those of a progressive JPEG take memory for all coefficients.
TEST(Decode, AHugeJpegIsRefusedBeforeItsScansAreRead) {
  std::string jpeg = encode_jpeg(photo_image(16, 24, 3), {.gray = true, .scans = 10});
  const size_t frame = jpeg.find("\xff\xc2");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\x3e\x80\x3e\x80");  // its height and width
  std::string what;
  EXPECT_LT(peak_growth_kib([&] { what = failure(jpeg); }), 4096);
  EXPECT_NE(what.find("16000 x 16000 pixels, 256000000 in all; max-pixels allows 90000000"), std::string::npos) << what;
}

TEST(Decode, APngThatInflatesBeyondItsHeaderIsStopped) {
  const std::string sound = png_of_zeros(8, (1 + 8 * 3) * 8);
  EXPECT_EQ(decoded(sound).pixels, std::vector<uint8_t>(8 * 8 * 3, 0));
  const std::string bomb = png_of_zeros(8, size_t{1} << 26);
  std::string what;
  EXPECT_LT(peak_growth_kib([&] { what = failure(bomb); }), 8192);
  EXPECT_NE(what.find("cannot decode PNG"), std::string::npos) << what;
}

// A scan of a few bytes goes over the whole image.
TEST(Decode, AJpegOfManyScansIsRefused) {
  const Image image = photo_image(16, 24, 3);
  EXPECT_EQ(failure(encode_jpeg(image, {.gray = true, .scans = 100})), "");
  EXPECT_EQ(failure(encode_jpeg(image, {.gray = true, .scans = 101})), "picture: JPEG has more than 100 scans");
  EXPECT_EQ(failure(encode_jpeg(image, {.gray = true, .scans = 694})), "picture: JPEG has more than 100 scans");
}

// Whatever the bytes are, the outcome is an image or an Error: no crash, no other exception, no endless loop.
TEST(Decode, DamagedFilesNeverCrash) {
  const Image image = photo_image(24, 31, 6);
  std::vector<std::string> files{encode_png(image), encode_bmp(image),
                                 encode_cmyk_jpeg(std::vector<uint8_t>(9 * 7 * 4, 77), 9, 7, true),
                                 "P6 31 24 255\n" + std::string(image.pixels.begin(), image.pixels.end())};
  for (const JpegSettings& kind : jpeg_kinds()) {
    files.push_back(encode_jpeg(image, kind));
  }
  std::mt19937_64 engine(9);
  int64_t errors = 0;
  for (const std::string& file : files) {
    for (int round = 0; round < 150; ++round) {
      std::string damaged = file;
      // Half of the damage hits the headers, where it does most.
      for (uint64_t hits = 1 + engine() % 4; hits > 0; --hits) {
        const size_t range = engine() % 2 == 0 ? std::min<size_t>(damaged.size(), 64) : damaged.size();
        damaged[engine() % range] = static_cast<char>(engine());
      }
      try {
        Image out;
        decode(
            bytes_of(damaged), "picture",
            [](ImageSize size) {
              return Rect{size.height / 3, size.width / 3, (size.height + 1) / 2, (size.width + 1) / 2};
            },
            out);
      } catch (const Error&) {
        ++errors;
      }
    }
  }
  EXPECT_GT(errors, 100);
}

}  // namespace
}  // namespace residua::test
