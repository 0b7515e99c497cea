#include "core/config/auto_or_number.h"

namespace residua {

Setting auto_or_number(const std::string& name, int64_t& value, Range range, const std::string& help) {
  const std::string wanted = "auto or " + config_detail::describe(range, true);
  const auto set = [&value, name, range, wanted](const Words& words) {
    const std::string& word = config_detail::single(name, words, wanted);
    value = word == "auto" ? kAuto : config_detail::parse_whole(name, word, range, wanted);
  };
  const auto get = [&value]() -> Words { return {value == kAuto ? "auto" : fmt::format("{}", value)}; };
  return {.name = name,
          .help = help,
          .wanted = wanted,
          .placeholder = "auto|NUMBER",
          .kind = WordKind::number,
          .set = set,
          .get = get};
}

}  // namespace residua
