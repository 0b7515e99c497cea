#pragma once

#include <filesystem>
#include <string_view>

namespace residua {

/// Whether a name from a file leads to nothing outside of the file's folder: it is relative, and no part of it is "..". Links
/// are another matter: whoever made the folder made them.
inline bool is_inside_folder(std::string_view name) {
  const std::filesystem::path path(name);
  bool climbs = false;
  for (const std::filesystem::path& part : path) {
    climbs = climbs || part == "..";
  }
  return !path.empty() && path.is_relative() && !climbs && name.find('\0') == std::string_view::npos;
}

}  // namespace residua
