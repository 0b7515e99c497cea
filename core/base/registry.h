#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace residua {

/// The implementations of one kind that a setting can select by name: data sources, views, schedules, protocols, model
/// families. A file adds one with a `const Registration<Kind>` at namespace scope. Libraries are linked whole, so every program
/// has all of them.
template <class Kind>
class Registry {
 public:
  using Make = std::unique_ptr<Kind> (*)();
  struct Entry {
    std::string_view name;
    std::string_view help;  // one line, for lists
    Make make;              // makes a Kind with default options
  };

  /// Sorted by name.
  static const std::vector<Entry>& entries() { return mutable_entries(); }

  static std::vector<std::string> names() {
    std::vector<std::string> result;
    for (const Entry& entry : entries()) {
      result.emplace_back(entry.name);
    }
    return result;
  }

  static void add(const Entry& entry) {
    std::vector<Entry>& all = mutable_entries();
    const auto before = [](const Entry& a, const Entry& b) { return a.name < b.name; };
    all.insert(std::lower_bound(all.begin(), all.end(), entry, before), entry);
  }

 private:
  /// Built on first use: registrations run before main, in any order.
  static std::vector<Entry>& mutable_entries() {
    static std::vector<Entry> all;
    return all;
  }
};

template <class Kind>
class Registration {
 public:
  explicit Registration(const typename Registry<Kind>::Entry& entry) { Registry<Kind>::add(entry); }
};

/// Registers `Type`, a default-constructible Kind:
/// `const Registration<ViewKind> kFlip = registered<ViewKind, Flip>("flip", "...")`.
template <class Kind, class Type>
Registration<Kind> registered(std::string_view name, std::string_view help) {
  return Registration<Kind>(
      {.name = name, .help = help, .make = []() -> std::unique_ptr<Kind> { return std::make_unique<Type>(); }});
}

}  // namespace residua
