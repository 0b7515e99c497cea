#pragma once

#include <string>

#include "core/base/warning.h"

namespace residua::test {

/// Collects the library's warnings during its lifetime, one per line.
class WarningLog {
 public:
  WarningLog() {
    set_warning_sink([this](const std::string& warning) { text_ += warning + "\n"; });
  }
  ~WarningLog() { set_warning_sink({}); }
  WarningLog(const WarningLog&) = delete;
  WarningLog& operator=(const WarningLog&) = delete;

  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace residua::test
