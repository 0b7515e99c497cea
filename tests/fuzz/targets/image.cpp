// JPEG, PNG, BMP and PNM, as a whole and in part.
#include <algorithm>

#include "core/base/error.h"
#include "core/data/codecs/decode.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

constexpr int64_t kMaxPixels = 1 << 18;

Rect middle(ImageSize size) { return {size.height / 3, size.width / 3, (size.height + 1) / 2, (size.width + 1) / 2}; }

bool decodes(std::span<const uint8_t> bytes, const RegionChooser& choose, Image& out, Orientation orientation) {
  try {
    decode(bytes, "image", choose, out, {.orientation = orientation, .max_pixels = kMaxPixels});
    return true;
  } catch (const Error&) {
    return false;
  }
}

void decode_all(std::span<const uint8_t> bytes) {
  for (const Orientation orientation : {Orientation::as_stored, Orientation::exif}) {
    Image full, part;
    const bool is_whole = decodes(bytes, whole, full, orientation);
    const bool is_part = decodes(bytes, middle, part, orientation);
    if (!is_whole) {
      continue;
    }
    require(is_part, "a region of a sound image does not decode");
    const Rect region = middle(full.size());
    require(part.size() == ImageSize{region.height, region.width}, "a region has another size");
    for (int64_t y = 0; y < region.height; ++y) {
      const uint8_t* wanted = full.row(region.top + y) + 3 * region.left;
      require(std::equal(part.row(y), part.row(y) + 3 * region.width, wanted), "a region has other pixels than the whole");
    }
  }
}

const RegisterFuzzTarget kTarget("image", decode_all);

}  // namespace
}  // namespace residua::test
