#pragma once

#include <string>
#include <vector>

#include "core/data/source.h"

namespace residua {

/// Images of one size held in memory, for small data sets.
class MemorySource final : public ImageSource {
 public:
  struct Contents {
    std::string origin;  // file or folder name, for messages
    ImageSize size;
    std::vector<uint8_t> pixels;  // [images, size.height, size.width, 3]
    std::vector<int32_t> labels;
    std::vector<std::string> class_names;
  };

  /// Fails with Error if there are no images, a label is out of range, or the number of pixels is wrong.
  explicit MemorySource(Contents contents);

  int64_t size() const override { return static_cast<int64_t>(contents_.labels.size()); }
  const std::vector<std::string>& class_names() const override { return contents_.class_names; }
  int32_t label(int64_t i) const override { return contents_.labels[static_cast<size_t>(i)]; }
  std::string name(int64_t i) const override;
  std::optional<ImageSize> fixed_size() const override { return contents_.size; }
  void read(int64_t i, EncodedImage& out) const override;

 private:
  Contents contents_;
};

}  // namespace residua
