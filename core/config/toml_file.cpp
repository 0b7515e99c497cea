#include "core/config/toml_file.h"

// toml++ 3.3 asserts (and clang assumes) that a table's header has a key, before it has looked: "[= 1]" is an error instead.
#undef NDEBUG
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>

#include <algorithm>

namespace residua {
namespace {

std::string word_of(const toml::node& node, std::string_view key, std::string_view origin) {
  if (const auto* text = node.as_string()) {
    return text->get();
  }
  if (const auto* number = node.as_integer()) {
    return fmt::format("{}", number->get());
  }
  if (const auto* number = node.as_floating_point()) {
    return fmt::format("{}", number->get());
  }
  if (const auto* flag = node.as_boolean()) {
    return flag->get() ? "true" : "false";
  }
  fail_usage("{}, line {}: {} must be a string, a number, true, false, or an array of these", origin, node.source().begin.line,
             key);
}

}  // namespace

std::vector<Assignment> parse_toml(std::string_view text, std::string_view origin) {
  toml::table table;
  try {
    table = toml::parse(text, origin);
  } catch (const toml::parse_error& error) {
    fail_usage("{}, line {}: {}", origin, error.source().begin.line, error.description());
  }
  struct Line {
    uint32_t number;
    Assignment assignment;
  };
  std::vector<Line> lines;  // toml++ sorts by key; keep the file's order for messages
  for (const auto& [key, node] : table) {
    Words words;
    if (const auto* array = node.as_array()) {
      for (const toml::node& element : *array) {
        words.push_back(word_of(element, key.str(), origin));
      }
    } else {
      words.push_back(word_of(node, key.str(), origin));
    }
    lines.push_back({node.source().begin.line, {std::string(key.str()), std::move(words)}});
  }
  std::ranges::stable_sort(lines, {}, &Line::number);
  std::vector<Assignment> assignments;
  std::ranges::transform(lines, std::back_inserter(assignments), [](Line& line) { return std::move(line.assignment); });
  return assignments;
}

}  // namespace residua
