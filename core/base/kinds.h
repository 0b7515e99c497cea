#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/join.h"
#include "core/base/registry.h"

namespace residua {

/// One object of each registered kind, sorted by name. Each holds its own options: `declare` binds them to settings, and the
/// kind that a setting then names makes the thing with them.
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

  /// The options of all kinds. `settings` must not outlive this.
  template <class Settings>
  void declare(Settings& settings) {
    for (const Named& named : all_) {
      named.kind->declare(settings);
    }
  }

  /// Fails with UsageError, which lists the names, where there is none of that name; `setting` is what named it.
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

}  // namespace residua
