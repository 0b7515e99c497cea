#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace residua {

/// Replaces `bytes` by the contents of a file and reuses its memory. Throws Error that names the file if it cannot be read to
/// its end or is larger than 2 GiB.
void read_file(const std::filesystem::path& path, std::vector<uint8_t>& bytes);

/// The contents of a text file without a byte order mark.
std::string read_text(const std::filesystem::path& path);

/// The non-empty lines of a text file, without line ends and byte order mark.
std::vector<std::string> read_lines(const std::filesystem::path& path);

}  // namespace residua
