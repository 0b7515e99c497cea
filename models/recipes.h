#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/settings.h"

namespace residua {

/// Settings that go together, by name: a file models/recipes/NAME.toml, which is part of the program. Its first line is a
/// comment that describes it.
struct Recipe {
  std::string_view name;
  std::string_view toml;

  std::string_view description() const;
  std::vector<Assignment> settings() const;
};

/// Sorted by name.
const std::vector<Recipe>& recipes();
std::vector<std::string> recipe_names();

/// Fails with UsageError, which lists the names, when there is none of that name.
const Recipe& find_recipe(std::string_view name);

/// The name of the recipe for a set: of photos of many sizes, or of images that all have one size.
std::string_view default_recipe(bool photos);

}  // namespace residua
