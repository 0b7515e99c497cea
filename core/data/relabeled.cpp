#include "core/data/relabeled.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/base/join.h"

namespace residua {
namespace {

/// The first few names in quotes.
std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    shown.push_back(fmt::format("\"{}\"", names[i]));
  }
  return join(shown, ", ") + (names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : "");
}

}  // namespace

Relabeled::Relabeled(std::shared_ptr<const ImageSource> source, std::vector<std::string> class_names, const std::string& origin)
    : source_(std::move(source)), class_names_(std::move(class_names)) {
  std::map<std::string, int32_t> labels;
  for (size_t c = 0; c < class_names_.size(); ++c) {
    labels.emplace(class_names_[c], static_cast<int32_t>(c));
  }
  for (const std::string& name : source_->class_names()) {
    const auto found = labels.find(name);
    labels_.push_back(found == labels.end() ? -1 : found->second);
  }
  std::set<std::string> unknown;
  for (int64_t i = 0; i < source_->size(); ++i) {
    if (label(i) < 0) {
      unknown.insert(source_->class_names()[static_cast<size_t>(source_->label(i))]);
    }
  }
  if (!unknown.empty()) {
    fail_usage("{} does not know {} of the images' classes: {}; it has the {} classes {}", origin, unknown.size(),
               some_of({unknown.begin(), unknown.end()}), class_names_.size(), some_of(class_names_));
  }
}

}  // namespace residua
