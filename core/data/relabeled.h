#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/data/source.h"

namespace residua {

/// The images of a source with the labels that their classes have in another list of class names.
class Relabeled final : public ImageSource {
 public:
  /// Fails with UsageError, which names `origin` and its classes, if an image has a class that is not among `class_names`.
  Relabeled(std::shared_ptr<const ImageSource> source, std::vector<std::string> class_names, const std::string& origin);

  int64_t size() const override { return source_->size(); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t i) const override { return labels_[static_cast<size_t>(source_->label(i))]; }
  std::string name(int64_t i) const override { return source_->name(i); }
  std::optional<ImageSize> fixed_size() const override { return source_->fixed_size(); }
  void read(int64_t i, EncodedImage& out) const override { source_->read(i, out); }
  std::optional<uint64_t> stored_bytes(int64_t i) const override { return source_->stored_bytes(i); }
  std::vector<std::string> notes() const override { return source_->notes(); }

 private:
  std::shared_ptr<const ImageSource> source_;
  std::vector<std::string> class_names_;
  std::vector<int32_t> labels_;  // by the source's label
};

}  // namespace residua
