#include "core/data/sources/label_list.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "core/base/printable.h"
#include "core/data/inside_folder.h"
#include "core/io/read_file.h"

namespace residua {
namespace {

constexpr const char* kGroundTruth =
    "ILSVRC's file of ground truth counts from 1 in an order of its own: name the classes by their wnid (n01440764) instead";

std::optional<int64_t> number_in(const std::string& word) {
  int64_t number = 0;
  const char* end = word.data() + word.size();
  const auto parsed = std::from_chars(word.data(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end ? std::optional(number) : std::nullopt;
}

/// Splits "name label" at the last space.
std::pair<std::string, std::string> split(const std::filesystem::path& list, const std::string& line) {
  const size_t end = line.find_last_not_of(" \t");
  const size_t space = end == std::string::npos ? end : line.find_last_of(" \t", end);
  const size_t name_end = space == std::string::npos ? space : line.find_last_not_of(" \t", space);
  if (name_end == std::string::npos) {
    fail_usage("'{}' has the line '{}', wanted 'name label'. {}", list.string(), printable_line(line), kGroundTruth);
  }
  return {line.substr(0, name_end + 1), line.substr(space + 1, end - space)};
}

int32_t position(const std::filesystem::path& list, int64_t number, size_t classes) {
  if (number < 0 || number >= static_cast<int64_t>(classes)) {
    fail_usage("'{}' has the label {}, wanted 0 to {}, the position in the list of class names. {}", list.string(), number,
               classes - 1, kGroundTruth);
  }
  return static_cast<int32_t>(number);
}

}  // namespace

LabelList read_label_list(const std::filesystem::path& list, std::vector<std::string> class_names) {
  LabelList result;
  std::vector<std::string> words;
  std::set<std::string> seen;
  for (const std::string& line : read_lines(list)) {
    auto [file, word] = split(list, line);
    if (!is_inside_folder(file)) {
      fail_usage("'{}' lists '{}', wanted a path inside the folder of the images, without '..'", list.string(),
                 printable_line(file));
    }
    if (!seen.insert(file).second) {
      fail_usage("'{}' lists '{}' twice", list.string(), printable_line(file));
    }
    result.files.push_back(std::move(file));
    words.push_back(std::move(word));
  }
  if (words.empty()) {
    fail_usage("'{}' lists no image", list.string());
  }
  const bool numbered = std::ranges::all_of(words, [](const std::string& word) { return number_in(word).has_value(); });
  if (class_names.empty()) {
    if (numbered) {
      fail_usage("'{}' has numbers for labels, but no class folders or classes.txt say which class a number is", list.string());
    }
    const std::set<std::string> names(words.begin(), words.end());
    class_names.assign(names.begin(), names.end());
  }
  std::map<std::string, int32_t> by_name;
  for (size_t c = 0; c < class_names.size(); ++c) {
    by_name.emplace(class_names[c], static_cast<int32_t>(c));
  }
  const auto unknown = std::ranges::find_if(words, [&](const std::string& word) { return !by_name.contains(word); });
  const bool named = unknown == words.end();
  if (!named && !numbered) {
    fail_usage("'{}' has the class '{}', which is not one of the {} classes", list.string(), printable_line(*unknown),
               class_names.size());
  }
  for (const std::string& word : words) {
    result.labels.push_back(named ? by_name.at(word) : position(list, *number_in(word), class_names.size()));
  }
  result.note = fmt::format(
      "{} labels {} images by {}", list.string(), words.size(),
      named ? "class name" : fmt::format("position in the list of class names, from 0: 0 is {}", class_names.front()));
  result.class_names = std::move(class_names);
  return result;
}

}  // namespace residua
