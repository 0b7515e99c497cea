#pragma once

#include <string>
#include <vector>

namespace residua {

/// The paths of all entries of a folder, in any order; empty if there is no folder that can be read.
std::vector<std::string> list_folder(const std::string& folder);

}  // namespace residua
