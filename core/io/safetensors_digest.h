#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/io/safetensors.h"

namespace residua {

/// save_safetensors() of a file that has a digest of itself in its metadata.
void save_with_digest(const std::string& path, std::span<const HostArrayView> arrays, SafetensorsMetadata metadata);

/// Whether a safetensors file has a digest of itself in its metadata. Throws UsageError that names the file if the digest is
/// not that of the file's bytes. Believes nothing else in the file: not that its header is JSON, nor that its sizes fit.
bool check_digest(const std::string& path);

}  // namespace residua

namespace residua::safetensors {

inline constexpr std::string_view kDigestKey = "residua.digest";
inline constexpr size_t kDigestDigits = 32;

/// XXH3, 128 bits (https://github.com/Cyan4973/xxHash): finds every accidental change, but is no signature.
class Digest {
 public:
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(const void* data, size_t bytes);
  /// Of the bytes so far, as hexadecimal digits.
  std::string digits() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Where the digits of the digest are in the text of a header; npos if it has none.
size_t find_digest(std::string_view header);

}  // namespace residua::safetensors
