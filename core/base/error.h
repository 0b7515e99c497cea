#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace residua {

/// Base class of all exceptions that Residua throws. The message says what was got, what was wanted and where.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller made a mistake: a bad setting, shape or file. Executables exit with status 2.
class UsageError : public Error {
 public:
  using Error::Error;
  /// A setting has an invalid value. The message is "SETTING: got 'GOT', wanted WANTED".
  UsageError(std::string_view setting, std::string_view got, std::string_view wanted)
      : Error(std::string(setting) + ": got '" + std::string(got) + "', wanted " + std::string(wanted)),
        setting_(setting),
        got_(got),
        wanted_(wanted) {}

  /// The setting's name, the value it got and what it accepts. All are empty if the error is not about one setting.
  const std::string& setting() const { return setting_; }
  const std::string& got() const { return got_; }
  const std::string& wanted() const { return wanted_; }

 private:
  std::string setting_, got_, wanted_;
};

/// The device has too little free memory for an allocation.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// A device had a fault, and this process can no longer use it.
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

/// Throws UsageError for a setting's value. Programs replace the setting's name by the one their users know.
[[noreturn]] inline void fail_setting(std::string_view setting, std::string_view got, std::string_view wanted) {
  throw UsageError(setting, got, wanted);
}

}  // namespace residua
