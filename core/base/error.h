#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace residua {

/// What every part of Residua throws; the message says what was got, what was wanted and where.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller asked for something that cannot be: bad settings, shapes, files. Executables exit 2 on it.
class UsageError : public Error {
 public:
  using Error::Error;
  /// A setting has a value that it cannot have. The message is "<setting>: got '<got>', wanted <wanted>".
  UsageError(std::string_view setting, std::string_view got, std::string_view wanted)
      : Error(std::string(setting) + ": got '" + std::string(got) + "', wanted " + std::string(wanted)),
        setting_(setting),
        got_(got),
        wanted_(wanted) {}

  /// The setting's name, what was got and what is wanted; empty where no single setting is wrong.
  const std::string& setting() const { return setting_; }
  const std::string& got() const { return got_; }
  const std::string& wanted() const { return wanted_; }

 private:
  std::string setting_, got_, wanted_;
};

/// A device has no memory left for what was asked for.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// A device has met with a fault after which this process cannot use it any more.
class DeviceFault : public Error {
 public:
  using Error::Error;
};

/// Throws Error with a formatted message.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws UsageError with a formatted message.
template <class... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws UsageError for a setting's value: tools put the setting's name as their users know it.
[[noreturn]] inline void fail_setting(std::string_view setting, std::string_view got, std::string_view wanted) {
  throw UsageError(setting, got, wanted);
}

}  // namespace residua
