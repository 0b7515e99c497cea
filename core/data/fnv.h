#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace residua {

/// Fowler, Noll and Vo's hash, 1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv
class Fnv {
 public:
  void add(std::string_view bytes) {
    uint64_t hash = hash_;
    for (const char byte : bytes) {
      hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    }
    hash_ = hash;
  }
  void add(std::span<const uint8_t> bytes) { add(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())); }

  uint64_t hash() const { return hash_; }
  /// The hash as 16 hexadecimal digits.
  std::string digest() const { return fmt::format("{:016x}", hash_); }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace residua
