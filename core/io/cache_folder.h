#pragma once

#include <string>

namespace residua {

/// The folder for what can be computed again: $XDG_CACHE_HOME/residua, or ~/.cache/residua. Empty if neither variable holds an
/// absolute path. It may not exist yet.
std::string cache_folder();

}  // namespace residua
