#include "core/data/codecs/jpeg.h"

#include <cstddef>
#include <cstdio>
// jpeglib.h needs size_t and FILE; jerror.h needs jpeglib.h, whose configuration determines its codes.
#include <jpeglib.h>

#include <jerror.h>

#include <algorithm>
#include <cstring>

#include "core/base/error.h"

namespace residua {
namespace {

/// More scans than encoders write: libjpeg's own scripts have 10. Each scan goes over the whole image, and a scan can be a few
/// bytes long.
constexpr int kMaxScans = 100;

/// The most memory for the coefficients of a progressive JPEG: four channels at full resolution, with blocks that overlap the
/// edges. A header can ask for ten channels.
long most_coefficient_bytes(ImageSize size) {
  constexpr int64_t kEdge = 64;
  return static_cast<long>(4 * sizeof(JCOEF) * static_cast<size_t>((size.height + kEdge) * (size.width + kEdge)) + (1 << 20));
}

/// Extra columns to decode on each side of a region: chroma upsampling reads one more sample, and differs at an image's edge.
constexpr int64_t kMargin = 8;

struct ErrorManager : jpeg_error_mgr {
  const std::string* name;
};

[[noreturn]] void throw_message(j_common_ptr info) {
  char text[JMSG_LENGTH_MAX];
  info->err->format_message(info, text);
  fail("{}: cannot decode JPEG: {}", *static_cast<ErrorManager*>(info->err)->name, text);
}

/// Warnings that do not affect pixels, such as stray bytes between segments and odd version numbers. They occur in photos that
/// every viewer opens, including ImageNet's. After any other warning libjpeg would continue with invented pixels.
bool is_harmless(int code) {
  return code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM || code == JWRN_BOGUS_ICC ||
         code == JWRN_NOT_SEQUENTIAL || code == JWRN_TOO_MUCH_DATA;
}

void on_message(j_common_ptr info, int level) {
  if (level < 0 && !is_harmless(info->err->msg_code)) {
    throw_message(info);
  }
}

void check_scans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) {
    fail("{}: JPEG has more than {} scans", *static_cast<ErrorManager*>(info->err)->name, kMaxScans);
  }
}

/// Owns a libjpeg decompressor for bytes in memory. Errors propagate through libjpeg's frames as C++ exceptions: on x86-64 and
/// AArch64, C code has unwind tables, and the destructor frees the pools that hold all of libjpeg's memory.
class Decompressor {
 public:
  Decompressor(std::span<const uint8_t> bytes, const std::string& name) {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = throw_message;
    errors_.emit_message = on_message;
    errors_.name = &name;
    jpeg_create_decompress(&info_);
    created_.info = &info_;
    progress_.progress_monitor = check_scans;
    info_.progress = &progress_;
    jpeg_mem_src(&info_, bytes.data(), bytes.size());
    jpeg_read_header(&info_, TRUE);
    check_image_size(size(), name);
    info_.mem->max_memory_to_use = most_coefficient_bytes(size());
  }

  jpeg_decompress_struct& info() { return info_; }
  ImageSize size() const { return {int64_t{info_.image_height}, int64_t{info_.image_width}}; }
  bool cmyk() const { return info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK; }

 private:
  /// A separate member, so that cleanup runs even if the constructor throws.
  struct Destroy {
    jpeg_decompress_struct* info = nullptr;
    Destroy() = default;
    Destroy(const Destroy&) = delete;
    Destroy& operator=(const Destroy&) = delete;
    ~Destroy() {
      if (info != nullptr) {
        jpeg_destroy_decompress(info);
      }
    }
  };

  jpeg_decompress_struct info_{};
  ErrorManager errors_{};
  jpeg_progress_mgr progress_{};
  Destroy created_;
};

/// Converts CMYK in Adobe's inverted form, which practically all CMYK JPEGs use and PIL assumes.
void inverted_cmyk_to_rgb(const uint8_t* cmyk, int64_t width, uint8_t* rgb) {
  for (int64_t x = 0; x < width; ++x) {
    const int k = cmyk[4 * x + 3];
    for (int64_t c = 0; c < 3; ++c) {
      rgb[3 * x + c] = static_cast<uint8_t>((cmyk[4 * x + c] * k + 127) / 255);
    }
  }
}

}  // namespace

bool is_jpeg(std::span<const uint8_t> bytes) {
  return bytes.size() >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

ImageSize jpeg_size(std::span<const uint8_t> bytes, const std::string& name) { return Decompressor(bytes, name).size(); }

bool is_cmyk_jpeg(std::span<const uint8_t> bytes, const std::string& name) { return Decompressor(bytes, name).cmyk(); }

void decode_jpeg(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out) {
  Decompressor decompressor(bytes, name);
  jpeg_decompress_struct& info = decompressor.info();
  const ImageSize size = decompressor.size();
  const Rect region = choose(size);
  check_region(size, region, name);

  const bool cmyk = decompressor.cmyk();
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);

  JDIMENSION first = 0;
  if (region.width < size.width) {
    const int64_t begin = std::max<int64_t>(0, region.left - kMargin);
    const int64_t end = std::min(size.width, region.left + region.width + kMargin);
    first = static_cast<JDIMENSION>(begin);
    JDIMENSION columns = static_cast<JDIMENSION>(end - begin);
    jpeg_crop_scanline(&info, &first, &columns);
  }
  if (region.top > 0 && jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(region.top)) != region.top) {
    fail("{}: cannot decode JPEG: it ends before row {}", name, region.top);
  }

  out.reset({region.height, region.width});
  // In libjpeg's own memory, which the decompressor frees.
  uint8_t* const row = info.mem->alloc_sarray(reinterpret_cast<j_common_ptr>(&info), JPOOL_IMAGE,
                                              info.output_width * static_cast<JDIMENSION>(info.output_components), 1)[0];
  const int64_t skipped = region.left - int64_t{first};
  const bool direct = !cmyk && int64_t{info.output_width} == region.width;
  for (int64_t y = 0; y < region.height; ++y) {
    JSAMPROW target = direct ? out.row(y) : row;
    if (jpeg_read_scanlines(&info, &target, 1) != 1) {
      fail("{}: cannot decode JPEG: it ends before row {}", name, region.top + y);
    }
    if (cmyk) {
      inverted_cmyk_to_rgb(row + skipped * 4, region.width, out.row(y));
    } else if (!direct) {
      std::memcpy(out.row(y), row + skipped * 3, static_cast<size_t>(region.width) * 3);
    }
  }
  if (region.top + region.height == size.height) {
    jpeg_finish_decompress(&info);  // looks for the end marker
  }
}

}  // namespace residua
