#include "core/config/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/join.h"

namespace residua {
namespace {

std::string quoted(const std::string& word) {
  std::string text = "\"";
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      text += fmt::format("\\u{:04x}", byte);
    } else {
      text += c;
    }
  }
  return text + '"';
}

bool is_number(const std::string& word) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size() && std::isfinite(value);
}

/// A number setting may also hold a word: mean = "pixel", max-bad-images = "1%".
std::string toml_value(const Setting& setting, const Words& words) {
  const auto one = [&](const std::string& word) {
    const bool bare = setting.kind == WordKind::flag || (setting.kind == WordKind::number && is_number(word));
    return bare ? word : quoted(word);
  };
  if (!setting.list) {
    return one(words.front());
  }
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ", ") + one(word);
  }
  return "[" + text + "]";
}

/// The Levenshtein distance.
int64_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<int64_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (const char c : a) {
    int64_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const int64_t replaced = diagonal + (c == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

Setting& Settings::flag(std::string name, bool& value, std::string help) {
  const std::string wanted = "true or false";
  const auto set = [&value, name, wanted](const Words& words) {
    const std::string& word = config_detail::single(name, words, wanted);
    const bool yes = word == "true" || word == "on" || word == "yes" || word == "1";
    if (!yes && word != "false" && word != "off" && word != "no" && word != "0") {
      fail_setting(name, word, wanted);
    }
    value = yes;
  };
  const auto get = [&value]() -> Words { return {value ? "true" : "false"}; };
  return add({.name = name, .help = std::move(help), .wanted = wanted, .kind = WordKind::flag, .set = set, .get = get});
}

Setting& Settings::numbers(std::string name, std::vector<double>& value, Range range, std::string help) {
  const std::string wanted = config_detail::describe(range, false);
  const auto set = [&value, name, range, wanted](const Words& words) {
    std::vector<double> numbers;
    for (const std::string& word : words) {
      numbers.push_back(config_detail::parse_number(name, word, range, wanted));
    }
    value = std::move(numbers);
  };
  const auto get = [&value] {
    Words words;
    for (const double number : value) {
      words.push_back(fmt::format("{}", number));
    }
    return words;
  };
  return add({.name = name,
              .help = std::move(help),
              .wanted = wanted,
              .kind = WordKind::number,
              .list = true,
              .set = set,
              .get = get});
}

Setting& Settings::text(std::string name, std::string& value, std::string help) {
  const auto set = [&value, name](const Words& words) {
    value = words.empty() ? std::string() : config_detail::single(name, words, "one word");
  };
  const auto get = [&value]() -> Words { return value.empty() ? Words{} : Words{value}; };
  return add({.name = name, .help = std::move(help), .wanted = "one word", .set = set, .get = get});
}

Setting& Settings::text(std::string name, std::optional<std::string>& value, std::string help) {
  const auto set = [&value, name](const Words& words) {
    value = words.empty() ? std::nullopt : std::optional(config_detail::single(name, words, "one word"));
  };
  const auto get = [&value]() -> Words { return value ? Words{*value} : Words{}; };
  return add({.name = name, .help = std::move(help), .wanted = "one word", .set = set, .get = get});
}

Setting& Settings::choice(std::string name, std::string& value, std::vector<std::string> names, std::string help) {
  constexpr size_t kFew = 8;  // as many as fit on one line
  const bool few = names.size() <= kFew;
  const std::string wanted = few ? config_detail::alternatives(names) : "a known name";
  const auto set = [&value, name, names, wanted, optional = value.empty()](const Words& words) {
    if (words.empty() && optional) {
      value.clear();
      return;
    }
    const std::string& word = config_detail::single(name, words, wanted);
    if (std::ranges::find(names, word) == names.end()) {
      const std::string near = nearest_name(word, names);
      fail_setting(name, word, near.empty() ? wanted : fmt::format("{}; did you mean {}?", wanted, near));
    }
    value = word;
  };
  const auto get = [&value]() -> Words { return value.empty() ? Words{} : Words{value}; };
  return add(
      {.name = name, .help = std::move(help), .wanted = wanted, .choices = few ? names : Words{}, .set = set, .get = get});
}

Setting& Settings::add(Setting setting) {
  if (find(setting.name) != nullptr) {
    fail("two settings are named {}: each name needs one declaration", setting.name);
  }
  setting.group = group_;
  setting.default_words = setting.get();
  settings_.push_back(std::make_unique<Setting>(std::move(setting)));
  return *settings_.back();
}

const Setting* Settings::find(std::string_view name) const { return lookup(name); }

Setting* Settings::lookup(std::string_view name) const {
  for (const auto& setting : settings_) {
    if (setting->name == name || std::ranges::find(setting->aliases, name) != setting->aliases.end()) {
      return setting.get();
    }
  }
  return nullptr;
}

Setting& Settings::at(std::string_view name) const {
  if (Setting* setting = lookup(name); setting != nullptr) {
    return *setting;
  }
  std::vector<std::string> names;
  std::ranges::transform(settings_, std::back_inserter(names), [](const auto& setting) { return setting->name; });
  const std::string near = nearest_name(name, names);
  fail_usage("there is no setting '{}'{}", name, near.empty() ? "" : fmt::format("; did you mean {}?", near));
}

void Settings::assign(std::string_view name, const Words& words, Layer layer) {
  Setting& setting = at(name);
  setting.given |= static_cast<uint8_t>(1U << static_cast<unsigned>(layer));
  if (layer < setting.layer) {
    return;
  }
  setting.set(words);
  setting.layer = layer;
}

void Settings::assign(const std::vector<Assignment>& lines, Layer layer, std::string_view origin) {
  for (const Assignment& line : lines) {
    try {
      if (const Setting* setting = find(line.key); setting != nullptr && !setting->saved) {
        fail_usage("{} is an action: give it on the command line, not in a file", line.key);
      }
      assign(line.key, line.words, layer);
    } catch (const UsageError& error) {
      fail_usage("{}: {}", origin, error.what());
    }
  }
}

void Settings::set_default(std::string_view name, const Words& words) {
  Setting& setting = at(name);
  setting.default_words = words;
  if (setting.layer == Layer::defaults || setting.get().empty()) {
    setting.set(words);
  }
}

void Settings::reset(std::string_view name) {
  Setting& setting = at(name);
  setting.set(setting.default_words);
  setting.layer = Layer::defaults;
}

Layer Settings::layer(std::string_view name) const { return at(name).layer; }

bool Settings::given(std::string_view name, Layer layer) const {
  return (at(name).given >> static_cast<unsigned>(layer) & 1U) != 0;
}

std::string Settings::toml() const {
  std::string text;
  for (const auto& setting : settings_) {
    if (const Words words = setting->get(); setting->saved && !words.empty()) {
      text += fmt::format("{} = {}\n", setting->name, toml_value(*setting, words));
    }
  }
  return text;
}

std::vector<std::string> Settings::deviations(const std::vector<Assignment>& lines) const {
  std::vector<std::string> texts;
  std::set<const Setting*> of_recipe;
  for (const Assignment& line : lines) {
    const Setting& setting = at(line.key);
    of_recipe.insert(&setting);
    const Words now = setting.get();
    if (now != line.words && !setting.own_choice) {
      texts.push_back(fmt::format("{}: {}, the recipe has {}", setting.name, now.empty() ? "unset" : join(now, ","),
                                  line.words.empty() ? "none" : join(line.words, ",")));
    }
  }
  for (const auto& setting : settings_) {
    const Words now = setting->get();
    if (setting->layer > Layer::recipe && setting->result && !setting->own_choice && !of_recipe.contains(setting.get()) &&
        now != setting->default_words) {
      texts.push_back(fmt::format(
          "{}: {}, {}", setting->name, now.empty() ? "unset" : join(now, ","),
          setting->default_words.empty() ? "not the default" : "the default is " + join(setting->default_words, ",")));
    }
  }
  return texts;
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& names) {
  std::string nearest;
  int64_t least = std::max<int64_t>(2, static_cast<int64_t>(name.size()) / 3) + 1;
  for (const std::string& candidate : names) {
    if (const int64_t distance = edit_distance(name, candidate); distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace residua
