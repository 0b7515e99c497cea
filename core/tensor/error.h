#pragma once

#include <fmt/format.h>

#include <stdexcept>

namespace residua {

/// What every part of Residua throws; the message says what was got, what was wanted and where.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller asked for something that cannot be: bad flags, shapes, files. Executables exit 2 on it.
class UsageError : public Error {
 public:
  using Error::Error;
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

}  // namespace residua
