#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace residua {

/// Replaces `bytes` by a file's contents, keeping its memory. Fails, naming the file, when it cannot be read to its end or
/// exceeds 2 GiB.
void read_file(const std::filesystem::path& path, std::vector<uint8_t>& bytes);

/// A text file's lines that are not empty, without line ends and without a byte order mark.
std::vector<std::string> read_lines(const std::filesystem::path& path);

}  // namespace residua
