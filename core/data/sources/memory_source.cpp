#include "core/data/sources/memory_source.h"

#include <utility>

#include "core/base/error.h"

namespace residua {

MemorySource::MemorySource(Contents contents) : contents_(std::move(contents)) {
  const int64_t classes = static_cast<int64_t>(contents_.class_names.size());
  if (contents_.labels.empty()) {
    fail("{}: got no images", contents_.origin);
  }
  for (size_t i = 0; i < contents_.labels.size(); ++i) {
    if (contents_.labels[i] < 0 || contents_.labels[i] >= classes) {
      fail("{}: image {} has label {}; wanted 0 to {}", contents_.origin, i, contents_.labels[i], classes - 1);
    }
  }
  const int64_t wanted = size() * contents_.size.height * contents_.size.width * 3;
  if (static_cast<int64_t>(contents_.pixels.size()) != wanted) {
    fail("{}: got {} bytes of pixels, wanted {}", contents_.origin, contents_.pixels.size(), wanted);
  }
}

std::string MemorySource::name(int64_t i) const { return fmt::format("{}[{}]", contents_.origin, i); }

void MemorySource::read(int64_t i, EncodedImage& out) const {
  const size_t bytes = static_cast<size_t>(contents_.size.height * contents_.size.width * 3);
  out.set_rgb(std::span(contents_.pixels).subspan(static_cast<size_t>(i) * bytes, bytes), contents_.size);
}

}  // namespace residua
