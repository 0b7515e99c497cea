#include "tests/data/image_fixtures.h"

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>

#include <algorithm>
#include <cmath>
#include <random>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace residua::test {
namespace {

void append(void* context, void* data, int size) {
  static_cast<std::string*>(context)->append(static_cast<const char*>(data), static_cast<size_t>(size));
}

/// libjpeg's compressor writing into memory; its default error handler ends the process, which a fixture may.
struct Compressor {
  jpeg_error_mgr errors{};
  jpeg_compress_struct info{};
  unsigned char* data = nullptr;
  unsigned long size = 0;

  Compressor(int64_t height, int64_t width, int channels, J_COLOR_SPACE space) {
    info.err = jpeg_std_error(&errors);
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &data, &size);
    info.image_height = static_cast<JDIMENSION>(height);
    info.image_width = static_cast<JDIMENSION>(width);
    info.input_components = channels;
    info.in_color_space = space;
    jpeg_set_defaults(&info);
  }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
  ~Compressor() {
    jpeg_destroy_compress(&info);
    std::free(data);
  }

  std::string compress(const uint8_t* pixels) {
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
      auto* row = const_cast<uint8_t*>(pixels) +
                  size_t{info.next_scanline} * info.image_width * static_cast<size_t>(info.input_components);
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    return {reinterpret_cast<const char*>(data), size};
  }
};

}  // namespace

Image pattern_image(int64_t height, int64_t width) {
  Image image;
  image.reset({height, width});
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        image.row(y)[3 * x + c] = static_cast<uint8_t>((37 * x + 91 * y + 53 * c + 7 * x * y) % 256);
      }
    }
  }
  return image;
}

Image photo_image(int64_t height, int64_t width, uint64_t seed) {
  std::mt19937_64 engine(seed);
  const auto draw = [&] { return static_cast<double>(engine() >> 11) * 0x1p-53; };
  const double waves[3] = {2 + 6 * draw(), 2 + 6 * draw(), 2 + 6 * draw()};
  const double phase = 6 * draw();
  Image image;
  image.reset({height, width});
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const double u = static_cast<double>(x) / static_cast<double>(width);
      const double v = static_cast<double>(y) / static_cast<double>(height);
      for (int64_t c = 0; c < 3; ++c) {
        const double value = 128 + 80 * std::sin(waves[c] * u + phase) * std::cos(waves[2 - c] * v) + 40 * (draw() - 0.5);
        image.row(y)[3 * x + c] = static_cast<uint8_t>(std::clamp(value, 0.0, 255.0));
      }
    }
  }
  return image;
}

std::string encode_jpeg(const Image& image, const JpegSettings& settings) {
  std::vector<uint8_t> gray;
  if (settings.gray) {
    for (size_t i = 0; i < image.pixels.size(); i += 3) {
      gray.push_back(image.pixels[i]);
    }
  }
  Compressor compressor(image.height, image.width, settings.gray ? 1 : 3, settings.gray ? JCS_GRAYSCALE : JCS_RGB);
  jpeg_compress_struct& info = compressor.info;
  jpeg_set_quality(&info, settings.quality, TRUE);
  if (!settings.gray) {
    info.comp_info[0].h_samp_factor = settings.horizontal_sampling;
    info.comp_info[0].v_samp_factor = settings.vertical_sampling;
  }
  info.restart_interval = static_cast<unsigned>(settings.restart_interval);
  info.arith_code = settings.arithmetic ? TRUE : FALSE;
  if (settings.progressive) {
    jpeg_simple_progression(&info);
  }
  std::vector<jpeg_scan_info> script;
  if (settings.scans > 0) {
    script.push_back({1, {0}, 0, 0, 0, 0});
    for (int k = 1; k < DCTSIZE2; ++k) {
      constexpr int kBits = 10;
      for (int bit = kBits; bit >= 0; --bit) {
        script.push_back({1, {0}, k, k, bit == kBits ? 0 : bit + 1, bit});
      }
    }
    script.resize(static_cast<size_t>(settings.scans));
    info.scan_info = script.data();
    info.num_scans = settings.scans;
  }
  return compressor.compress(settings.gray ? gray.data() : image.pixels.data());
}

std::string encode_cmyk_jpeg(const std::vector<uint8_t>& inverted_cmyk, int64_t height, int64_t width, bool ycck) {
  Compressor compressor(height, width, 4, JCS_CMYK);
  jpeg_set_colorspace(&compressor.info, ycck ? JCS_YCCK : JCS_CMYK);
  jpeg_set_quality(&compressor.info, 100, TRUE);
  return compressor.compress(inverted_cmyk.data());
}

std::string encode_png(const std::vector<uint8_t>& pixels, int64_t height, int64_t width, int channels) {
  std::string bytes;
  stbi_write_png_to_func(append, &bytes, static_cast<int>(width), static_cast<int>(height), channels, pixels.data(),
                         static_cast<int>(width) * channels);
  return bytes;
}

std::string encode_png(const Image& image) { return encode_png(image.pixels, image.height, image.width, 3); }

std::string encode_bmp(const Image& image) {
  std::string bytes;
  stbi_write_bmp_to_func(append, &bytes, static_cast<int>(image.width), static_cast<int>(image.height), 3, image.pixels.data());
  return bytes;
}

std::string with_orientation(const std::string& jpeg, int orientation, bool big_endian, int bytes) {
  const auto number = [big_endian](int value, int size) {
    std::string text;
    for (int i = 0; i < size; ++i) {
      text += static_cast<char>(value >> 8 * (big_endian ? size - 1 - i : i));
    }
    return text;
  };
  std::string tiff = (big_endian ? "MM" : "II") + number(42, 2) + number(8, 4);
  // One directory with one entry: the tag, SHORT or LONG, one value, padded to four bytes; no next directory.
  tiff += number(1, 2) + number(0x0112, 2) + number(bytes == 2 ? 3 : 4, 2) + number(1, 4) + number(orientation, bytes) +
          std::string(static_cast<size_t>(4 - bytes), '\0') + number(0, 4);
  const std::string content = std::string("Exif\0\0", 6) + tiff;
  const size_t length = content.size() + 2;
  return jpeg.substr(0, 2) + "\xff\xe1" + static_cast<char>(length >> 8) + static_cast<char>(length) + content + jpeg.substr(2);
}

}  // namespace residua::test
