#include "core/io/read_file.h"

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

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::vector<uint8_t> bytes;
  read_file(path, bytes);
  std::vector<std::string> lines;
  std::string line;
  bytes.push_back('\n');
  for (const uint8_t byte : bytes) {
    if (byte == '\n' || byte == '\r') {
      if (!line.empty()) {
        lines.push_back(line);
      }
      line.clear();
    } else {
      line += static_cast<char>(byte);
    }
  }
  return lines;
}

}  // namespace residua
