#include "core/data/source.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/join.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

/// Built on first use: registrations run before main, in any order.
std::vector<SourceKind>& registry() {
  static std::vector<SourceKind> kinds;
  return kinds;
}

std::string layouts() {
  std::string text;
  for (const SourceKind& kind : registry()) {
    text += fmt::format("\n  {}: {}", kind.name, kind.layout);
  }
  return text;
}

const SourceKind& find_kind(std::string_view name) {
  for (const SourceKind& kind : registry()) {
    if (kind.name == name) {
      return kind;
    }
  }
  fail_usage("unknown dataset '{}'; wanted one of {}", name, join(source_names(), ", "));
}

/// Files of weights name the classes in JSON, which is UTF-8.
bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

}  // namespace

SourceRegistration::SourceRegistration(const SourceKind& kind) {
  std::vector<SourceKind>& kinds = registry();
  const auto before = [](const SourceKind& a, const SourceKind& b) { return a.name < b.name; };
  kinds.insert(std::lower_bound(kinds.begin(), kinds.end(), kind, before), kind);
}

Image ImageSource::load(int64_t i) const {
  Image image;
  load(i, whole, image);
  return image;
}

std::string describe_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) {
    return "does not exist";
  }
  if (!fs::is_directory(folder, error)) {
    return "is not a folder";
  }
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) {
    return fmt::format("cannot be read: {}", error.message());
  }
  if (names.empty()) {
    return "is empty";
  }
  constexpr size_t kShown = 6;
  std::sort(names.begin(), names.end());
  const size_t more = names.size() - std::min(names.size(), kShown);
  names.resize(std::min(names.size(), kShown));
  return fmt::format("holds {}{}", join(names, ", "), more > 0 ? fmt::format(" and {} more", more) : "");
}

std::string detect_source(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string_view> matches;
  if (fs::is_directory(folder, error)) {
    for (const SourceKind& kind : registry()) {
      if (kind.detect(folder)) {
        matches.push_back(kind.name);
      }
    }
  }
  if (matches.size() > 1) {
    fail_usage("data folder '{}' looks like {}: choose one with --dataset", folder.string(), join(matches, " and like "));
  }
  if (matches.empty()) {
    fail_usage("data folder '{}' {}; no dataset is recognized there. What it may hold:{}", folder.string(),
               describe_folder(folder), layouts());
  }
  return std::string(matches.front());
}

std::shared_ptr<const ImageSource> open_source(std::string_view dataset, const fs::path& folder, Split split,
                                               const SourceOptions& options) {
  const std::string name = dataset == "auto" ? detect_source(folder) : std::string(dataset);
  std::shared_ptr<const ImageSource> source = find_kind(name).open(folder, split, options);
  for (const std::string& class_name : source->class_names()) {
    if (!is_utf8(class_name)) {
      fail_usage("class '{}' of data folder '{}' has a name that is not UTF-8: rename it", class_name, folder.string());
    }
  }
  return source;
}

std::vector<std::string> source_names() {
  std::vector<std::string> names{"auto"};
  for (const SourceKind& kind : registry()) {
    names.emplace_back(kind.name);
  }
  return names;
}

}  // namespace residua
