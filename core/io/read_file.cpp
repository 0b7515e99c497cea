#include "core/io/read_file.h"

#include <algorithm>
#include <string_view>

#include "core/base/error.h"
#include "core/io/input_file.h"

namespace residua {

void read_file(const std::filesystem::path& path, std::vector<uint8_t>& bytes) {
  constexpr uint64_t kMaxFileBytes = uint64_t{1} << 31;
  const InputFile file(path.string());
  if (file.size() > kMaxFileBytes) {
    fail("{}: {} bytes; wanted at most {}", file.path(), file.size(), kMaxFileBytes);
  }
  bytes.resize(file.size());
  file.read(bytes.data(), bytes.size(), 0);
}

std::string read_text(const std::filesystem::path& path) {
  std::vector<uint8_t> bytes;
  read_file(path, bytes);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf"; text.starts_with(kByteOrderMark)) {
    text.remove_prefix(kByteOrderMark.size());
  }
  return std::string(text);
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  const std::string contents = read_text(path);
  std::string_view text = contents;
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find_first_of("\r\n"));
    if (!line.empty()) {
      lines.emplace_back(line);
    }
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return lines;
}

}  // namespace residua
