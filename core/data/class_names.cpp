#include "core/data/class_names.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/io/read_file.h"

namespace residua {

std::vector<std::string> read_class_names(const std::filesystem::path& path) {
  std::vector<std::string> names(1);
  for (const char byte : read_text(path)) {
    if (byte == '\n') {
      names.emplace_back();
    } else if (byte != '\r') {
      names.back() += byte;
    }
  }
  while (!names.empty() && names.back().empty()) {
    names.pop_back();
  }
  if (names.empty()) {
    fail_usage("'{}' is empty; wanted the names of the classes, one a line, in the order of the labels", path.string());
  }
  if (const auto empty = std::ranges::find(names, ""); empty != names.end()) {
    fail_usage("line {} of '{}' is empty; wanted the name of a class", empty - names.begin() + 1, path.string());
  }
  return names;
}

}  // namespace residua
