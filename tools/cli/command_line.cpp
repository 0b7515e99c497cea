#include "tools/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <map>

#include "core/base/join.h"
#include "core/run/run_folder.h"
#include "tools/cli/version_flag.h"

namespace residua {
namespace {

constexpr size_t kHelpColumn = 34;  // column of the descriptions
constexpr size_t kHelpWidth = 106;

std::string flag_of(const std::string& name) { return (name.size() == 1 ? "-" : "--") + name; }

/// "-b,--batch-size", or "DIR".
std::string flags_of(const Setting& setting) {
  if (setting.positional) {
    return setting.name;
  }
  std::vector<std::string> flags = {flag_of(setting.name)};
  std::ranges::transform(setting.aliases, std::back_inserter(flags), flag_of);
  std::ranges::stable_sort(flags, {}, [](const std::string& flag) { return flag.starts_with("--"); });
  return join(flags, ",");
}

/// Breaks lines at spaces.
std::string wrapped(const std::string& text, size_t width) {
  std::string lines;
  size_t column = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (column > 0 && column + 1 + (end - begin) > width) {
      lines += '\n';
      column = 0;
    }
    lines += (column > 0 ? " " : "") + text.substr(begin, end - begin);
    column += (column > 0 ? 1 : 0) + (end - begin);
    begin = end + 1;
  }
  return lines;
}

/// The help text, with the default unless the setting is an action or a flag.
std::string description_of(const Setting& setting) {
  std::string text = setting.help;
  if (!setting.default_note.empty()) {
    text += " Default: " + setting.default_note + ".";
  } else if (setting.kind != WordKind::flag && setting.saved && !setting.positional) {
    text += " Default: " + (setting.default_words.empty() ? "none" : join(setting.default_words, ",")) + ".";
  }
  return wrapped(text, kHelpWidth - kHelpColumn);
}

std::string type_of(const Setting& setting) {
  if (!setting.choices.empty()) {
    return join(setting.choices, "|");
  }
  if (!setting.placeholder.empty()) {
    return setting.placeholder;
  }
  const char* type = setting.kind == WordKind::number ? "NUMBER" : "TEXT";
  return setting.list ? fmt::format("{0},{0},...", type) : type;
}

bool is_number(const std::string& word) {
  char* end = nullptr;
  std::strtod(word.c_str(), &end);
  return !word.empty() && end == word.c_str() + word.size();
}

/// The words as CLI11 expects them: joins a negative number, or the numbers of a list, to the flag.
std::vector<std::string> joined(const Settings& settings, int argc, const char* const* argv) {
  std::map<std::string, const Setting*> numbers;
  for (const auto& setting : settings.all()) {
    if (setting->kind == WordKind::number) {
      numbers[flag_of(setting->name)] = setting.get();
      for (const std::string& alias : setting->aliases) {
        numbers[flag_of(alias)] = setting.get();
      }
    }
  }
  std::vector<std::string> words(argv, argv + argc);
  std::vector<std::string> result;
  for (size_t i = 0; i < words.size(); ++i) {
    const auto found = numbers.find(words[i]);
    if (words[i] == "--") {
      result.insert(result.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    if (found == numbers.end() || i + 1 == words.size() || !is_number(words[i + 1])) {
      result.push_back(words[i]);
      continue;
    }
    std::string value = words[++i];
    while (found->second->list && i + 1 < words.size() && is_number(words[i + 1])) {
      value += "," + words[++i];
    }
    result.push_back(found->first + (found->first.starts_with("--") ? "=" : "") + value);
  }
  return result;
}

[[noreturn]] void fail_unknown(const Settings& settings, const std::string& program, const std::vector<std::string>& extras) {
  std::vector<std::string> known = {"--help", "--version"};
  for (const auto& setting : settings.all()) {
    known.push_back(flag_of(setting->name));
    std::ranges::transform(setting->aliases, std::back_inserter(known), flag_of);
  }
  std::vector<std::string> unknown;
  for (const std::string& word : extras) {
    if (word.starts_with('-')) {
      const std::string flag = word.substr(0, word.find('='));
      const std::string near = flag.starts_with("--") ? nearest_name(flag, known) : "";
      unknown.push_back(near.empty() ? flag : fmt::format("{} (did you mean {}?)", flag, near));
    }
  }
  if (unknown.empty()) {
    fail_usage("unexpected argument '{}' (write a list as one word with commas: 0.5,0.4,0.3); see {} --help", extras.front(),
               program);
  }
  fail_usage("unknown flag {}; see {} --help", join(unknown, ", "), program);
}

std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

/// Quotes the text as one shell word.
std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return quoted + "'";
}

}  // namespace

CommandLine read_command_line(const Settings& settings, const std::string& program, const std::string& description, int argc,
                              const char* const* argv) {
  CLI::App app(wrapped(description, kHelpWidth), program);
  app.get_formatter()->column_width(kHelpColumn);
  app.allow_extras();
  add_version_flag(app);
  std::vector<std::pair<const Setting*, CLI::Option*>> options;
  for (const auto& setting : settings.all()) {
    CLI::Option* option = nullptr;
    if (setting->kind == WordKind::flag) {
      option = app.add_flag(flags_of(*setting))->description(description_of(*setting));
    } else {
      option = app.add_option(flags_of(*setting), CLI::callback_t([](const CLI::results_t&) { return true; }),
                              description_of(*setting));
      option->type_name(type_of(*setting))->expected(1)->allow_extra_args(false);
      if (setting->list) {
        option->delimiter(',');
      }
    }
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    if (!setting->positional) {
      option->group(setting->group);
    }
    options.emplace_back(setting.get(), option);
  }
  const std::vector<std::string> words = joined(settings, argc, argv);
  std::vector<const char*> pointers;
  std::ranges::transform(words, std::back_inserter(pointers), &std::string::c_str);
  CommandLine line;
  try {
    app.parse(static_cast<int>(pointers.size()), pointers.data());
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
    return line;
  } catch (const CLI::CallForVersion&) {
    line.text = app.version() + "\n";
    return line;
  } catch (const CLI::ParseError& error) {
    fail_usage("{}; see {} --help", one_line(error.what()), program);
  }
  if (const std::vector<std::string> extras = app.remaining(); !extras.empty()) {
    fail_unknown(settings, program, extras);
  }
  for (const auto& [setting, option] : options) {
    if (!setting->list && option->count() > 1) {
      fail_setting(setting->name, join(option->results(), " and "), "the flag once");
    }
    if (option->count() > 0) {
      line.given.push_back({setting->name, option->results()});
    }
  }
  return line;
}

std::string worded(const UsageError& error, const Settings& settings, const std::string& program) {
  if (const auto* exists = dynamic_cast<const RunExists*>(&error)) {
    return fmt::format(
        "{}: {} already holds a run; choose another --output for a new run, replace it by --overwrite, or continue it: {}",
        program, exists->folder(), "--resume auto --output " + shell_quoted(exists->folder()));
  }
  const Setting* setting = error.setting().empty() ? nullptr : settings.find(error.setting());
  if (setting == nullptr) {
    return fmt::format("{}: {}", program, error.what());
  }
  return fmt::format("{}: {}{}; see {} --help", program, setting->positional ? "" : "--", error.what(), program);
}

}  // namespace residua
