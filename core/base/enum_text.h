#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"

namespace residua {

/// The text of each value of an enum. Specialize it once, next to the enum:
/// @code
/// template <>
/// inline constexpr auto kEnumText<FanMode> =
///     enum_text<FanMode>({{FanMode::fan_in, "fan-in"}, {FanMode::fan_out, "fan-out"}});
/// @endcode
template <class E>
inline constexpr std::array<std::pair<E, std::string_view>, 0> kEnumText{};

template <class E, size_t N>
constexpr std::array<std::pair<E, std::string_view>, N> enum_text(const std::pair<E, std::string_view> (&values)[N]) {
  return std::to_array(values);
}

/// The text of a value: "fan-in".
template <class E>
constexpr std::string_view to_text(E value) {
  for (const auto& [candidate, text] : kEnumText<E>) {
    if (candidate == value) {
      return text;
    }
  }
  return "?";
}

/// All texts, as a user reads them: "fan-in or fan-out".
template <class E>
std::string texts_of() {
  std::string all;
  const size_t count = kEnumText<E>.size();
  for (size_t i = 0; i < count; ++i) {
    all += i == 0 ? "" : i + 1 == count ? " or " : ", ";
    all += kEnumText<E>[i].second;
  }
  return all;
}

/// The value with this text. Throws UsageError that lists the accepted texts; `what` names the setting in the message.
template <class E>
E from_text(std::string_view what, std::string_view text) {
  for (const auto& [value, candidate] : kEnumText<E>) {
    if (candidate == text) {
      return value;
    }
  }
  fail_setting(what, text, texts_of<E>());
}

}  // namespace residua
