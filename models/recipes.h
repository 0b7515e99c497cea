#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/settings.h"

namespace residua {

/// A named set of settings: the file models/recipes/NAME.toml, compiled into the program. Its first line is a comment that
/// describes it.
struct Recipe {
  std::string_view name;
  std::string_view toml;

  std::string_view description() const;
  std::vector<Assignment> settings() const;
};

/// Sorted by name.
const std::vector<Recipe>& recipes();
std::vector<std::string> recipe_names();

/// Fails with UsageError, which lists the names, if there is no such recipe.
const Recipe& find_recipe(std::string_view name);

/// The name of the default recipe: for photos of varying sizes, or for images of one size.
std::string_view default_recipe(bool photos);

}  // namespace residua
