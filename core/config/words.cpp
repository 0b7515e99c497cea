#include <charconv>
#include <cmath>

#include "core/base/join.h"
#include "core/config/settings.h"

namespace residua {
namespace {

/// std::from_chars does not accept a plus sign.
const char* number_begin(const std::string& word) {
  return word.data() + (word.size() > 1 && word[0] == '+' && word[1] != '-' ? 1 : 0);
}

}  // namespace

namespace config_detail {

std::string describe(const Range& range, bool whole) {
  const char* number = whole ? "a whole number" : "a number";
  const auto text = [](double value) {
    return std::floor(value) == value ? fmt::format("{:.0f}", value) : fmt::format("{}", value);
  };
  return range.above_low ? fmt::format("{} above {}, at most {}", number, text(range.low), text(range.high))
                         : fmt::format("{} from {} to {}", number, text(range.low), text(range.high));
}

std::string alternatives(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
  }
  return text;
}

double parse_number(const std::string& name, const std::string& word, const Range& range, const std::string& wanted) {
  double value = 0;
  const auto [end, error] = std::from_chars(number_begin(word), word.data() + word.size(), value);
  const bool good = error == std::errc() && end == word.data() + word.size() && std::isfinite(value) && value <= range.high &&
                    (range.above_low ? value > range.low : value >= range.low);
  if (!good) {
    fail_setting(name, word, wanted);
  }
  return value;
}

int64_t parse_whole(const std::string& name, const std::string& word, const Range& range, const std::string& wanted) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(number_begin(word), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) {
    fail_setting(name, word, wanted);
  }
  const auto real = static_cast<double>(value);
  if (real > range.high || real < range.low || (range.above_low && real == range.low)) {
    fail_setting(name, word, wanted);
  }
  return value;
}

const std::string& single(const std::string& name, const Words& words, const std::string& wanted) {
  if (words.size() != 1) {
    fail_setting(name, join(words, ","), wanted);
  }
  return words.front();
}

}  // namespace config_detail

}  // namespace residua
