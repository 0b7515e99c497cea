#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>

namespace residua::test {

/// A member of a tar file, made by hand.
struct TarHeader {
  std::string name = {};
  char type = '0';
  std::string bytes = {};
  std::optional<uint64_t> size = {};  // that the header tells; default: the true one
  bool binary_size = false;
  bool gnu = false;
};

/// The header and the padded bytes, from the description of the format in `man 5 tar`.
inline std::string member(const TarHeader& m) {
  const uint64_t size = m.size.value_or(m.bytes.size());
  std::string header(512, '\0');
  const auto put = [&](size_t at, const std::string& text) { header.replace(at, text.size(), text); };
  put(0, m.name.substr(0, 100));
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  if (m.binary_size || size >> 33 != 0) {
    header[124] = size == ~uint64_t{0} ? '\xff' : '\x80';
    for (size_t i = 0; i < 8; ++i) {
      header[128 + i] = static_cast<char>(size >> (8 * (7 - i)) & 0xff);
    }
  } else {
    put(124, fmt::format("{:011o}", size));
  }
  put(136, "00000000000");
  put(148, "        ");
  header[156] = m.type;
  put(257, m.gnu ? std::string("ustar  \0", 8) : std::string("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : header) {
    sum += static_cast<unsigned char>(c);
  }
  put(148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  std::string padding((512 - m.bytes.size() % 512) % 512, '\0');
  return header + m.bytes + padding;
}

inline const std::string kEnd(1024, '\0');

}  // namespace residua::test
