#include "core/data/subset.h"

#include <utility>

#include "core/base/error.h"

namespace residua {

Subset::Subset(std::shared_ptr<const ImageSource> source, std::vector<int64_t> indices)
    : source_(std::move(source)), indices_(std::move(indices)) {
  if (indices_.empty()) {
    fail_usage("subset of {} images: got no indices, wanted at least one", source_->size());
  }
  for (const int64_t index : indices_) {
    if (index < 0 || index >= source_->size()) {
      fail_usage("subset: got index {}, wanted 0 to {}", index, source_->size() - 1);
    }
  }
}

}  // namespace residua
