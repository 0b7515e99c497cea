#include "core/io/safetensors_digest.h"

#include <fmt/format.h>

#define XXH_INLINE_ALL  // no library to link
#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "core/io/input_file.h"
#include "core/io/safetensors_header.h"

namespace residua {
namespace {

constexpr uint64_t kBlockBytes = 1 << 20;

/// The text of the header; empty if the file is too short for it, or it is too long for a file of ours.
std::string header_text(const InputFile& file) {
  uint64_t length = 0;
  if (file.size() < safetensors::kLengthBytes) {
    return {};
  }
  file.read(&length, safetensors::kLengthBytes, 0);
  if (length > safetensors::kMaxHeaderBytes || length > file.size() - safetensors::kLengthBytes) {
    return {};
  }
  std::string text(length, '\0');
  file.read(text.data(), length, safetensors::kLengthBytes);
  return text;
}

}  // namespace

bool check_digest(const std::string& path) {
  const InputFile file(path);
  const std::string header = header_text(file);
  const size_t found = safetensors::find_digest(header);
  if (found == std::string::npos) {
    return false;
  }
  const uint64_t begin = safetensors::kLengthBytes + found;
  const uint64_t end = begin + safetensors::kDigestDigits;
  safetensors::Digest digest;
  std::vector<char> block(kBlockBytes);
  const auto add = [&](uint64_t from, uint64_t to) {
    while (from < to) {
      const uint64_t bytes = std::min(kBlockBytes, to - from);
      file.read(block.data(), bytes, from);
      digest.add(block.data(), bytes);
      from += bytes;
    }
  };
  add(0, begin);
  add(end, file.size());
  const std::string stored = header.substr(found, safetensors::kDigestDigits);
  if (digest.digits() != stored) {
    fail_usage("{} is damaged: its bytes have the digest {}, wanted {}: it was cut short or changed after it was written", path,
               digest.digits(), stored);
  }
  return true;
}

}  // namespace residua

namespace residua::safetensors {

struct Digest::State {
  XXH3_state_t xxh;
};

Digest::Digest() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }

Digest::~Digest() = default;

void Digest::add(const void* data, size_t bytes) { XXH3_128bits_update(&state_->xxh, data, bytes); }

std::string Digest::digits() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(&state_->xxh);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

size_t find_digest(std::string_view header) {
  // In a string, the quotes would be escaped: this is found as a key alone.
  const std::string field = fmt::format("\"{}\":\"", kDigestKey);
  const size_t at = header.find(field);
  if (at == std::string_view::npos) {
    return at;
  }
  const std::string_view rest = header.substr(at + field.size());
  const std::string_view digits = rest.substr(0, kDigestDigits);
  const bool whole = digits.size() == kDigestDigits && rest.size() > kDigestDigits && rest[kDigestDigits] == '"' &&
                     digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return whole ? at + field.size() : std::string_view::npos;
}

}  // namespace residua::safetensors
