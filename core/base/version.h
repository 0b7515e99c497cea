#pragma once

#include <string_view>

namespace residua {

/// "0.1.0", with "+g" and the commit where the program was built from a repository, and "-dirty" where that had changes.
std::string_view version();

}  // namespace residua
