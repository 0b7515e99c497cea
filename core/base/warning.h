#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>

namespace residua {

/// Sends the warnings of the whole process to `sink`, until another one is set. An empty sink, as at the start, drops them.
/// Only one thread at a time calls the sink, and never after this has replaced it. The sink itself must not warn or set a sink.
void set_warning_sink(std::function<void(const std::string& text)> sink);

/// Formats a warning and hands it to the sink.
void warn_formatted(fmt::string_view format, fmt::format_args args) noexcept;

/// Hands a warning to the sink. Never throws, so that destructors may warn: what the sink throws is dropped.
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) noexcept {
  warn_formatted(format, fmt::make_format_args(args...));
}

}  // namespace residua
