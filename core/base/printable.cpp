#include "core/base/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace residua {
namespace {

std::string without_control_characters(std::string text, std::string_view allowed) {
  const auto forbidden = [allowed](unsigned char c) {
    return (c < 0x20 || c == 0x7f) && allowed.find(static_cast<char>(c)) == std::string_view::npos;
  };
  if (std::ranges::none_of(text, forbidden)) {
    return text;
  }
  std::string result;
  for (const char c : text) {
    result +=
        forbidden(static_cast<unsigned char>(c)) ? fmt::format("\\x{:02x}", static_cast<unsigned char>(c)) : std::string(1, c);
  }
  return result;
}

}  // namespace

std::string printable(std::string text) { return without_control_characters(std::move(text), "\n\t"); }
std::string printable_line(std::string text) { return without_control_characters(std::move(text), ""); }

}  // namespace residua
