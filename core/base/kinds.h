#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/join.h"
#include "core/base/registry.h"

namespace residua {

/// One object of each registered kind, sorted by name. Each holds its own options, which `declare` binds to settings. The kind
/// that the user selects then builds its product from them.
template <class Kind>
class Kinds {
 public:
  struct Named {
    std::string_view name;
    std::unique_ptr<Kind> kind;
  };

  Kinds() {
    for (const auto& entry : Registry<Kind>::entries()) {
      all_.push_back({entry.name, entry.make()});
    }
  }

  const std::vector<Named>& all() const { return all_; }

  /// Declares the options of all kinds. `settings` must not outlive this object.
  template <class Settings>
  void declare(Settings& settings) {
    for (const Named& named : all_) {
      named.kind->declare(settings);
    }
  }

  /// The kind with this name. Throws UsageError that lists the known names if there is none; `setting` is the setting that gave
  /// the name.
  const Kind& at(std::string_view setting, std::string_view name) const {
    for (const Named& named : all_) {
      if (named.name == name) {
        return *named.kind;
      }
    }
    fail_setting(setting, name, "one of " + join(Registry<Kind>::names(), ", "));
  }

 private:
  std::vector<Named> all_;
};

/// Lists the registered kinds for the help text of the setting that selects one: "constant: the rate stays; step: ...".
template <class Kind>
std::string help_of_kinds() {
  std::string text;
  for (const auto& entry : Registry<Kind>::entries()) {
    text += (text.empty() ? "" : "; ") + std::string(entry.name) + ": " + std::string(entry.help);
  }
  return text + ".";
}

}  // namespace residua
