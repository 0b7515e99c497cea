#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace residua {

/// Reads the names of classes, one a line, in the order of the labels; drops a byte order mark. Fails with UsageError on an
/// empty line between names, which would shift the labels, and on a file without a name.
std::vector<std::string> read_class_names(const std::filesystem::path& path);

}  // namespace residua
