#include "core/data/source.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/join.h"
#include "core/data/codecs/decode.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

std::string layouts(const Kinds<SourceKind>& kinds) {
  std::string text;
  for (const auto& [name, kind] : kinds.all()) {
    text += fmt::format("\n  {}: {}", name, kind->layout());
  }
  return text;
}

std::string detect(const Kinds<SourceKind>& kinds, const fs::path& folder) {
  std::error_code error;
  std::vector<std::string_view> matches;
  if (fs::is_directory(folder, error)) {
    for (const auto& [name, kind] : kinds.all()) {
      if (kind->detect(folder)) {
        matches.push_back(name);
      }
    }
  }
  if (matches.size() > 1) {
    fail_usage("data folder '{}' looks like {}: choose one with the setting dataset", folder.string(), join(matches, " and "));
  }
  if (matches.empty()) {
    fail_usage("data folder '{}' {}; wanted a data set in one of these layouts:{}", folder.string(), describe_folder(folder),
               layouts(kinds));
  }
  return std::string(matches.front());
}

const SourceKind& find_kind(const Kinds<SourceKind>& kinds, std::string_view name) {
  const std::vector<std::string> names = source_names();
  if (std::ranges::find(names, name) == names.end()) {
    fail_setting("dataset", name, "one of " + join(names, ", "));
  }
  return kinds.at("dataset", name);
}

/// Calls `look`, which looks into a data folder. A part of it that may not be entered is the caller's mistake.
template <class Look>
auto looking_into(const fs::path& folder, const Look& look) {
  try {
    return look();
  } catch (const fs::filesystem_error& error) {
    fail_usage("data folder '{}' cannot be read: {}: {}", folder.string(), error.path1().string(), error.code().message());
  }
}

/// Class names must be UTF-8, because weights files store them as JSON.
bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

}  // namespace

Image ImageSource::load(int64_t i) const {
  EncodedImage encoded;
  Image image;
  read(i, encoded);
  decode(encoded, name(i), whole, image);
  return image;
}

std::string describe_folder(const fs::path& folder) {
  if (folder.empty()) {
    return "was not given";
  }
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
  return looking_into(folder, [&] { return detect(Kinds<SourceKind>(), folder); });
}

std::shared_ptr<const ImageSource> open_source(const Kinds<SourceKind>& kinds, std::string_view dataset, const fs::path& folder,
                                               Split split, const SourceContext& context) {
  std::shared_ptr<const ImageSource> source = looking_into(folder, [&] {
    const std::string name = dataset == "auto" ? detect(kinds, folder) : std::string(dataset);
    return find_kind(kinds, name).open(folder, split, context);
  });
  const std::vector<std::string>& classes = source->class_names();
  for (const std::string& class_name : classes) {
    if (!is_utf8(class_name)) {
      fail_usage("class '{}' of data folder '{}' has a name that is not UTF-8: rename it", class_name, folder.string());
    }
  }
  if (classes.size() < 2) {
    fail_usage("data folder '{}' has only the class '{}'; wanted at least two classes", folder.string(), join(classes, ", "));
  }
  return source;
}

std::shared_ptr<const ImageSource> open_source(std::string_view dataset, const fs::path& folder, Split split,
                                               const SourceContext& context) {
  return open_source(Kinds<SourceKind>(), dataset, folder, split, context);
}

std::vector<std::string> source_names() {
  std::vector<std::string> names = Registry<SourceKind>::names();
  names.insert(names.begin(), "auto");
  return names;
}

}  // namespace residua
