#include "core/data/codecs/png_encode.h"

#include "core/base/error.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace residua {
namespace {

void append(void* text, void* data, int bytes) {
  static_cast<std::string*>(text)->append(static_cast<const char*>(data), static_cast<size_t>(bytes));
}

}  // namespace

void encode_png(const Image& image, std::string& out) {
  out.clear();
  const auto width = static_cast<int>(image.width);
  const bool good =
      image.height > 0 && image.width > 0 &&
      stbi_write_png_to_func(append, &out, width, static_cast<int>(image.height), 3, image.pixels.data(), 3 * width) != 0;
  if (!good) {
    fail("cannot encode a PNG of {}x{} pixels", image.width, image.height);
  }
}

}  // namespace residua
