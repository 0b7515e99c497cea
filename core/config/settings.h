#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/base/enum_text.h"

namespace residua {

/// A value as the user types it: one word, several words for a list, no words if the setting is unset.
using Words = std::vector<std::string>;

/// The source of a value. A later layer overrides an earlier one.
enum class Layer : uint8_t { defaults, recipe, file, command_line };

/// The type of a setting's words. A file writes flags and numbers bare and all other words in quotes.
enum class WordKind : uint8_t { flag, number, text };

/// The accepted numbers: `low` to `high`, both included. NaN and infinity are never accepted.
struct Range {
  double low = 0;
  double high = std::numeric_limits<int32_t>::max();
  /// True to exclude `low` itself: "above 0".
  bool above_low = false;
};
inline Range at_least(double low) { return {.low = low}; }
inline Range above(double low) { return {.low = low, .above_low = true}; }
inline Range between(double low, double high) { return {.low = low, .high = high}; }

/// One setting. Its name is its long flag ("--weight-decay") and its TOML key ("weight-decay"). It reads and writes one member
/// of the struct that declares it.
struct Setting {
  std::string name;
  std::string help;
  std::string group = {};
  std::vector<std::string> aliases = {};  // other flags and keys: "wd", or "b" for -b
  std::string wanted = {};                // "a number from 0 to 1", for messages
  std::string default_note = {};          // for --help, if the default is not a fixed value
  std::vector<std::string> choices = {};  // the accepted words, if there are few
  std::string placeholder = {};  // what --help shows in place of a value, if it is not one of the kind's: "auto|NUMBER"
  WordKind kind = WordKind::text;
  bool list = false;
  bool positional = false;     // given on the command line without its name
  bool saved = true;           // whether a file may set it; an action applies to one call only
  bool result = true;          // whether it changes what a run computes; paths, threads and logs do not
  bool same_on_ranks = false;  // whether several processes must have it alike although it changes no result
  bool own_choice = false;     // whether each run chooses it: another value than a recipe's is no deviation
  /// Sets the value. No words mean unset, which only an optional or a list accepts. Throws UsageError.
  std::function<void(const Words&)> set = {};
  /// The current value; empty if unset.
  std::function<Words()> get = {};
  Words default_words = {};
  Layer layer = Layer::defaults;  // the layer that the value comes from
  uint8_t given = 0;              // one bit for each layer that gave a value, overridden or not

  Setting& alias(std::string other) {
    aliases.push_back(std::move(other));
    return *this;
  }
  /// What --help shows in place of a value: "R,G,B".
  Setting& shown_as(std::string text) {
    placeholder = std::move(text);
    return *this;
  }
  /// A note for --help if the default depends on other settings: "as large as the images".
  Setting& default_is(std::string note) {
    default_note = std::move(note);
    return *this;
  }
  Setting& action() {
    saved = false;
    result = false;
    return *this;
  }
  /// Marks a setting that does not change what a run computes.
  Setting& without_result() {
    result = false;
    return *this;
  }
  /// Marks a setting without_result() that the processes of a run must have alike: it decides which calls they make together,
  /// or what they promise together.
  Setting& same_on_all_ranks() {
    same_on_ranks = true;
    return *this;
  }
  /// Marks a setting that each run chooses, whatever its recipe.
  Setting& chosen_by_run() {
    own_choice = true;
    return *this;
  }
  /// `check` runs after each change. It throws UsageError if the value as a whole is wrong.
  Setting& checked_by(std::function<void()> check) {
    set = [set = std::move(set), check = std::move(check)](const Words& words) {
      set(words);
      check();
    };
    return *this;
  }
};

/// One line of a file: a key and its value.
struct Assignment {
  std::string key;
  Words words;
};

/// The settings of a program. Each is declared once, next to the struct that it fills. Flags, TOML keys, ranges, help lines,
/// defaults and the saved file all come from these declarations. The structs must outlive this object.
class Settings {
 public:
  Settings() = default;
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  /// Puts the settings declared after this call into a group of --help.
  void group(std::string name) { group_ = std::move(name); }

  Setting& flag(std::string name, bool& value, std::string help);

  /// T is an integer or floating type, or an optional of one.
  template <class T>
  Setting& number(std::string name, T& value, Range range, std::string help);
  Setting& numbers(std::string name, std::vector<double>& value, Range range, std::string help);

  Setting& text(std::string name, std::string& value, std::string help);
  Setting& text(std::string name, std::optional<std::string>& value, std::string help);

  /// T is an enum with kEnumText, or an optional of one.
  template <class T>
  Setting& choice(std::string name, T& value, std::string help);
  /// Accepts one of `names`, for example those of a registry. If the default is empty, empty means unset.
  Setting& choice(std::string name, std::string& value, std::vector<std::string> names, std::string help);

  /// Adds any other setting; the caller fills in `set` and `get`.
  Setting& add(Setting setting);

  const std::vector<std::unique_ptr<Setting>>& all() const { return settings_; }
  /// The setting with this name or alias; nullptr if there is none.
  const Setting* find(std::string_view name) const;

  /// Sets a value unless a later layer has already set it. Throws UsageError if no setting has this name (the message suggests
  /// the nearest one) or if the setting does not accept the value.
  void assign(std::string_view name, const Words& words, Layer layer);
  /// Assigns all lines of a file or recipe; `origin` names it in messages.
  void assign(const std::vector<Assignment>& lines, Layer layer, std::string_view origin);
  /// Gives a setting the default that the data ask for. The setting takes this value if no layer gave one, and deviations()
  /// compares with it.
  void set_default(std::string_view name, const Words& words);
  /// Sets the default again.
  void reset(std::string_view name);
  /// The layer that the setting's value comes from.
  Layer layer(std::string_view name) const;
  /// Whether this layer gave a value, even if another layer overrides it.
  bool given(std::string_view name, Layer layer) const;

  /// All saved settings that have a value, as the lines of a TOML file.
  std::string toml() const;
  /// The deviations from a recipe. Settings in its `lines` that now have a different value: "weight-decay: 0.0005, the recipe
  /// has 0.0001". Other settings that a file or the command line changed, if they affect results: "label-smoothing: 0.1, the
  /// default is 0".
  std::vector<std::string> deviations(const std::vector<Assignment>& lines) const;

 private:
  Setting* lookup(std::string_view name) const;
  Setting& at(std::string_view name) const;

  std::string group_;
  std::vector<std::unique_ptr<Setting>> settings_;
};

/// The name in `names` that is nearest to `name` by edit distance; empty if none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& names);

namespace config_detail {

template <class T>
struct Unwrapped {
  using Type = T;
  static constexpr bool kOptional = false;
};
template <class T>
struct Unwrapped<std::optional<T>> {
  using Type = T;
  static constexpr bool kOptional = true;
};

/// "a number above 0, at most 1".
std::string describe(const Range& range, bool whole);
/// "a, b or c".
std::string alternatives(const std::vector<std::string>& words);
/// Parses a number. Throws UsageError unless the word is a number in the range.
double parse_number(const std::string& name, const std::string& word, const Range& range, const std::string& wanted);
int64_t parse_whole(const std::string& name, const std::string& word, const Range& range, const std::string& wanted);
/// The only word. Throws UsageError if there is none or more than one.
const std::string& single(const std::string& name, const Words& words, const std::string& wanted);

}  // namespace config_detail

template <class T>
Setting& Settings::number(std::string name, T& value, Range range, std::string help) {
  using Traits = config_detail::Unwrapped<T>;
  using Number = typename Traits::Type;
  constexpr bool kWhole = std::is_integral_v<Number>;
  const std::string wanted = config_detail::describe(range, kWhole);
  const auto set = [&value, name, range, wanted](const Words& words) {
    if (words.empty() && Traits::kOptional) {
      value = T{};
      return;
    }
    const std::string& word = config_detail::single(name, words, wanted);
    if constexpr (kWhole) {
      value = static_cast<Number>(config_detail::parse_whole(name, word, range, wanted));
    } else {
      value = static_cast<Number>(config_detail::parse_number(name, word, range, wanted));
    }
  };
  const auto get = [&value]() -> Words {
    if constexpr (Traits::kOptional) {
      return value ? Words{fmt::format("{}", *value)} : Words{};
    } else {
      return {fmt::format("{}", value)};
    }
  };
  return add({.name = name, .help = std::move(help), .wanted = wanted, .kind = WordKind::number, .set = set, .get = get});
}

template <class T>
Setting& Settings::choice(std::string name, T& value, std::string help) {
  using Traits = config_detail::Unwrapped<T>;
  using Enum = typename Traits::Type;
  const auto set = [&value, name](const Words& words) {
    if (words.empty() && Traits::kOptional) {
      value = T{};
      return;
    }
    value = from_text<Enum>(name, config_detail::single(name, words, texts_of<Enum>()));
  };
  const auto get = [&value]() -> Words {
    if constexpr (Traits::kOptional) {
      return value ? Words{std::string(to_text(*value))} : Words{};
    } else {
      return {std::string(to_text(value))};
    }
  };
  std::vector<std::string> choices;
  for (const auto& [candidate, text] : kEnumText<Enum>) {
    choices.emplace_back(text);
  }
  return add({.name = name, .help = std::move(help), .wanted = texts_of<Enum>(), .choices = choices, .set = set, .get = get});
}

}  // namespace residua
