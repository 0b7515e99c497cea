#pragma once

#include <memory>
#include <vector>

#include "core/data/source.h"

namespace residua {

/// A subset of a source: image i is image indices[i] of the source.
class Subset final : public ImageSource {
 public:
  /// Fails with UsageError if there is no index, or one out of range.
  Subset(std::shared_ptr<const ImageSource> source, std::vector<int64_t> indices);

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  const std::vector<std::string>& class_names() const override { return source_->class_names(); }
  int32_t label(int64_t i) const override { return source_->label(at(i)); }
  std::string name(int64_t i) const override { return source_->name(at(i)); }
  std::optional<ImageSize> fixed_size() const override { return source_->fixed_size(); }
  void read(int64_t i, EncodedImage& out) const override { source_->read(at(i), out); }
  std::optional<uint64_t> stored_bytes(int64_t i) const override { return source_->stored_bytes(at(i)); }
  std::vector<std::string> notes() const override { return source_->notes(); }

 private:
  int64_t at(int64_t i) const { return indices_[static_cast<size_t>(i)]; }

  std::shared_ptr<const ImageSource> source_;
  std::vector<int64_t> indices_;
};

}  // namespace residua
