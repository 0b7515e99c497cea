#pragma once

#include <string>
#include <string_view>

namespace residua {

/// Joins strings with a separator: "a, b, c". (fmt::join on strings gives a false overflow warning in g++ 12 at -O3.)
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
