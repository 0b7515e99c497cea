#include "core/data/codecs/jpeg_encode.h"

#include <cstddef>
#include <cstdio>
#include <cstdlib>
// jpeglib.h needs size_t and FILE.
#include <jpeglib.h>

#include "core/base/error.h"

namespace residua {
namespace {

[[noreturn]] void throw_message(j_common_ptr info) {
  char text[JMSG_LENGTH_MAX];
  info->err->format_message(info, text);
  fail("cannot encode a JPEG: {}", text);
}

/// Owns a libjpeg compressor and the memory that it writes to.
struct Compressor {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  unsigned char* data = nullptr;
  unsigned long bytes = 0;

  Compressor() {
    info.err = jpeg_std_error(&errors);
    errors.error_exit = throw_message;
    jpeg_create_compress(&info);
  }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;
  ~Compressor() {
    jpeg_destroy_compress(&info);
    std::free(data);
  }
};

}  // namespace

void encode_jpeg(const Image& image, int64_t quality, std::vector<uint8_t>& out, std::span<const uint8_t> app1) {
  if (image.height < 1 || image.width < 1 || image.height > JPEG_MAX_DIMENSION || image.width > JPEG_MAX_DIMENSION) {
    fail("cannot encode a JPEG of {}x{} pixels; wanted 1 to {} a side", image.width, image.height, JPEG_MAX_DIMENSION);
  }
  Compressor compressor;
  jpeg_compress_struct& info = compressor.info;
  jpeg_mem_dest(&info, &compressor.data, &compressor.bytes);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, static_cast<int>(quality), TRUE);
  info.optimize_coding = TRUE;
  jpeg_start_compress(&info, TRUE);
  if (!app1.empty()) {
    jpeg_write_marker(&info, JPEG_APP0 + 1, app1.data(), static_cast<unsigned int>(app1.size()));
  }
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(image.row(int64_t{info.next_scanline}));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  out.assign(compressor.data, compressor.data + compressor.bytes);
}

}  // namespace residua
