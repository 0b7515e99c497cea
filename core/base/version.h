#pragma once

#include <string_view>

namespace residua {

/// The version: "0.1.0". A build from a repository adds "+g" and the commit, then "-dirty" if there were local changes.
std::string_view version();

}  // namespace residua
