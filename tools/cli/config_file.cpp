#include "tools/cli/config_file.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <sstream>

#include "core/config/toml_file.h"
#include "core/io/read_file.h"

namespace residua {
namespace {

bool means_unset(const Words& words) { return words.size() == 1 && (words[0].empty() || words[0] == "[]" || words[0] == "{}"); }

/// CLI11 did not escape backslashes, and wrote no spaces around '='.
bool has_literal_backslashes(const std::string& text) {
  std::istringstream lines(text);
  bool backslash = false;
  for (std::string line; std::getline(lines, line);) {
    const size_t equals = line.find('=');
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    if (equals == std::string::npos || equals == 0 || equals + 1 == line.size() || line[equals - 1] == ' ' ||
        line[equals + 1] == ' ') {
      return false;
    }
    backslash = backslash || line.find('\\') != std::string::npos;
  }
  return backslash;
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

bool ends_as_it_begins(const std::string& value) {
  const char end = value[0] == '[' ? ']' : value[0];
  return (value[0] != '"' && value[0] != '\'' && value[0] != '[') || (value.size() > 1 && value.back() == end);
}

/// Whether each line is valid for CLI11: a known key, given once, with a complete value. CLI11 itself accepts nearly anything.
bool is_whole(const std::string& text, const Settings& settings) {
  std::set<std::string> keys;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    line = trimmed(line.substr(0, line.find('#')));
    if (line.empty()) {
      continue;
    }
    const size_t equals = line.find('=');
    const std::string key = trimmed(line.substr(0, equals));
    const std::string value = equals == std::string::npos ? "" : trimmed(line.substr(equals + 1));
    if (value.empty() || settings.find(key) == nullptr || !keys.insert(key).second || !ends_as_it_begins(value)) {
      return false;
    }
  }
  return true;
}

/// Stands for a backslash while CLI11 reads: its version 2.4 takes a backslash as an escape, earlier versions do not.
constexpr char kBackslash = '\x1f';

/// The text without its backslashes, except those that escape a quote inside a value, as all versions of CLI11 read them.
std::string without_backslashes(std::string text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escapes_quote = i + 2 < text.size() && text[i + 1] == '"' && text[i + 2] != '\n';
    if (text[i] == '\\' && !escapes_quote) {
      text[i] = kBackslash;
    }
  }
  return text;
}

std::optional<std::vector<Assignment>> read_by_cli11(const std::string& text, const Settings& settings) {
  if (!is_whole(text, settings)) {
    return std::nullopt;
  }
  std::istringstream stream(without_backslashes(text));
  std::vector<Assignment> lines;
  for (CLI::ConfigItem& item : CLI::ConfigTOML().from_config(stream)) {
    for (std::string& word : item.inputs) {
      std::replace(word.begin(), word.end(), kBackslash, '\\');
    }
    lines.push_back({item.name, item.inputs});
  }
  return lines;
}

}  // namespace

std::vector<Assignment> read_config_file(const std::string& path, const Settings& settings) {
  std::vector<uint8_t> bytes;
  read_file(path, bytes);
  const std::string text(bytes.begin(), bytes.end());
  std::optional<std::vector<Assignment>> lines;
  if (has_literal_backslashes(text)) {
    lines = read_by_cli11(text, settings);
  }
  if (!lines) {
    try {
      lines = parse_toml(text, path);
    } catch (const UsageError&) {
      lines = read_by_cli11(text, settings);
      if (!lines) {
        throw;
      }
    }
  }
  std::erase_if(*lines, [](const Assignment& line) { return means_unset(line.words); });
  return *lines;
}

}  // namespace residua
