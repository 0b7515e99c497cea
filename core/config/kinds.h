#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/registry.h"
#include "core/config/settings.h"

namespace residua {

/// One of each registered Kind, with its options: all of them are declared, whichever is chosen by name later.
template <class Kind>
class Kinds {
 public:
  Kinds() {
    for (const auto& entry : Registry<Kind>::entries()) {
      kinds_.emplace_back(entry.name, entry.make());
    }
  }

  /// The options of all kinds. What is declared refers to this object's members, which keep their place when it is moved.
  void declare(Settings& settings) {
    for (auto& [name, kind] : kinds_) {
      kind->declare(settings);
    }
  }

  /// The kind of that name. UsageError for `setting`, with the nearest name, when there is none.
  Kind& at(std::string_view setting, std::string_view name) const {
    for (const auto& [candidate, kind] : kinds_) {
      if (candidate == name) {
        return *kind;
      }
    }
    const std::vector<std::string> names = Registry<Kind>::names();
    const std::string near = nearest_name(name, names);
    fail_setting(setting, name, config_detail::alternatives(names) + (near.empty() ? "" : "; did you mean " + near + "?"));
  }

 private:
  std::vector<std::pair<std::string_view, std::unique_ptr<Kind>>> kinds_;
};

/// "constant: it stays. step: ...": the registered kinds with their help, for the setting that chooses one.
template <class Kind>
std::string help_of_kinds() {
  std::string text;
  for (const auto& entry : Registry<Kind>::entries()) {
    text += (text.empty() ? "" : " ") + std::string(entry.name) + ": " + std::string(entry.help);
  }
  return text;
}

}  // namespace residua
