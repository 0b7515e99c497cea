#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace residua::test {

/// Sets a variable of the environment, or removes it for a null value, until the end of the scope.
class Environment {
 public:
  Environment(std::string name, const char* value) : name_(std::move(name)) {
    if (const char* now = std::getenv(name_.c_str()); now != nullptr) {
      before_ = now;
    }
    set(value);
  }
  ~Environment() { set(before_ ? before_->c_str() : nullptr); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  void set(const char* value) { value != nullptr ? ::setenv(name_.c_str(), value, 1) : ::unsetenv(name_.c_str()); }

  std::string name_;
  std::optional<std::string> before_;
};

}  // namespace residua::test
