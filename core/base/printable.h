#pragma once

#include <string>

namespace residua {

// Names that come from files may contain any byte: a NUL would cut a message short, and an escape sequence would change the
// terminal.

/// The text with each control character as its hexadecimal code, except newlines and tabs.
std::string printable(std::string text);
/// The text with each control character as its hexadecimal code, so that it is one line.
std::string printable_line(std::string text);

}  // namespace residua
