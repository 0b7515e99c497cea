#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>

namespace residua {

/// Sends all warnings of this process to `sink` until another one is set. An empty sink drops them; that is the default. Only
/// one thread at a time calls the sink, and nothing calls it after it has been replaced. The sink must not warn or set a sink.
void set_warning_sink(std::function<void(const std::string& text)> sink);

/// Formats a warning, makes it printable and hands it to the sink.
void warn_formatted(fmt::string_view format, fmt::format_args args) noexcept;

/// Passes a warning to the sink. Never throws, so destructors may warn; an exception from the sink is dropped.
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) noexcept {
  warn_formatted(format, fmt::make_format_args(args...));
}

}  // namespace residua
