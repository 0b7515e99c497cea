#pragma once

#include <string>

namespace residua {

/// Fails with UsageError if the folder of an output file is missing: now rather than after hours of work. An empty path is no
/// file.
void check_folder_of(const char* setting, const std::string& path);

}  // namespace residua
