#include "models/recipes.h"

#include <algorithm>

#include "core/config/toml_file.h"

namespace residua {

std::string_view Recipe::description() const {
  std::string_view line = toml.substr(0, toml.find('\n'));
  line.remove_prefix(std::min(line.find_first_not_of("# "), line.size()));
  return line;
}

std::vector<Assignment> Recipe::settings() const { return parse_toml(toml, std::string("recipe ") + std::string(name)); }

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  std::ranges::transform(recipes(), std::back_inserter(names), [](const Recipe& recipe) { return std::string(recipe.name); });
  return names;
}

const Recipe& find_recipe(std::string_view name) {
  const auto found = std::ranges::find(recipes(), name, &Recipe::name);
  if (found == recipes().end()) {
    fail_setting("recipe", name, config_detail::alternatives(recipe_names()));
  }
  return *found;
}

std::string_view default_recipe(bool photos) { return photos ? "photos" : "small-images"; }

}  // namespace residua
