#pragma once

#include <string>
#include <string_view>

namespace residua {

/// "a, b, c": strings with a separator between them. (fmt::join on strings draws a false overflow warning from g++ 12 at -O3.)
template <class Strings>
std::string join(const Strings& strings, std::string_view separator) {
  std::string text;
  bool first = true;
  for (const std::string_view string : strings) {
    if (!first) {
      text += separator;
    }
    first = false;
    text += string;
  }
  return text;
}

}  // namespace residua
