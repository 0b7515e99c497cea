#include "core/data/digest.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/data/fnv.h"

namespace residua {
namespace {

/// Length of the path of the deepest common folder of all images, including its last slash.
size_t common_folder(const ImageSource& source) {
  const auto folder_of = [](std::string_view path) { return path.substr(0, path.rfind('/') + 1); };
  std::string folder(folder_of(source.name(0)));
  for (int64_t i = 1; i < source.size() && !folder.empty(); ++i) {
    const std::string name = source.name(i);
    if (!name.starts_with(folder)) {
      const auto differs = std::ranges::mismatch(folder, name).in1;
      folder.resize(folder_of({folder.begin(), differs}).size());
    }
  }
  return folder.size();
}

}  // namespace

std::string text_digest(std::string_view text) {
  Fnv fnv;
  fnv.add(text);
  return fnv.digest();
}

std::string set_digest(const ImageSource& source) {
  const size_t folder = common_folder(source);
  Fnv fnv;
  for (int64_t i = 0; i < source.size(); ++i) {
    fnv.add(std::string_view(source.name(i)).substr(folder));
    fnv.add(fmt::format("\n{}\n", source.label(i)));
  }
  return fnv.digest();
}

std::string different_class_names(const std::vector<std::string>& before, const std::vector<std::string>& now) {
  constexpr size_t kShown = 3;
  const auto quoted = [](const std::vector<std::string>& names, size_t i) {
    return i < names.size() ? fmt::format("{:?}", names[i]) : std::string("missing");
  };
  std::string text;
  size_t count = 0;
  for (size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
    if (i < before.size() && i < now.size() && before[i] == now[i]) {
      continue;
    }
    if (++count <= kShown) {
      text += fmt::format("{}class {} was {} and is {}", count > 1 ? ", " : "", i, quoted(before, i), quoted(now, i));
    }
  }
  return count > kShown ? fmt::format("{} and {} more", text, count - kShown) : text;
}

}  // namespace residua
