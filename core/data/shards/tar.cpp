#include "core/data/shards/tar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "core/base/error.h"
#include "core/base/printable.h"
#include "core/data/inside_folder.h"

namespace residua {
namespace {

using Bytes = std::span<const uint8_t>;

/// A field of a header block.
struct Field {
  size_t offset;
  size_t bytes;
};
constexpr Field kName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUser{108, 8};
constexpr Field kGroup{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kTime{136, 12};
constexpr Field kChecksum{148, 8};
constexpr Field kMagic{257, 8};
constexpr Field kPrefix{345, 155};
constexpr size_t kType = 156;

constexpr std::string_view kUstar("ustar\00000", 8);
constexpr std::string_view kGnu("ustar  \0", 8);

/// Programs fill the last record of a tar file with zeros.
constexpr uint64_t kRecord = 20 * kTarBlock;
/// Longer extended headers are damage.
constexpr uint64_t kMaxExtension = 1 << 20;

std::string_view text_in(Bytes block, Field field) {
  return {reinterpret_cast<const char*>(block.data()) + field.offset, field.bytes};
}

/// The text up to the first zero byte.
std::string_view name_in(Bytes block, Field field) {
  const std::string_view text = text_in(block, field);
  return text.substr(0, text.find('\0'));
}

/// Octal digits between spaces and zero bytes, or GNU's binary form for large numbers.
std::optional<uint64_t> number_in(Bytes block, Field field) {
  std::string_view text = text_in(block, field);
  if (text.front() == '\x80') {
    uint64_t value = 0;
    for (const char byte : text.substr(1)) {
      if (value >> 55 != 0) {
        return std::nullopt;
      }
      value = value << 8 | static_cast<uint8_t>(byte);
    }
    return value;
  }
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view digits = text.substr(0, text.find_first_not_of("01234567"));
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 8);
  const std::string_view rest = text.substr(digits.size());
  if (digits.empty() || error != std::errc() || rest.find_first_not_of(std::string_view(" \0", 2)) != std::string_view::npos) {
    return std::nullopt;
  }
  return value;
}

uint64_t checksum_of(Bytes block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kTarBlock; ++i) {
    sum += i >= kChecksum.offset && i < kChecksum.offset + kChecksum.bytes ? uint64_t{' '} : uint64_t{block[i]};
  }
  return sum;
}

bool all_zero(Bytes bytes) {
  return std::ranges::all_of(bytes, [](uint8_t byte) { return byte == 0; });
}

class Lister {
 public:
  explicit Lister(const InputFile& file) : file_(file) {}

  std::vector<TarMember> list() {
    while (next()) {
    }
    return std::move(members_);
  }

 private:
  template <class... Args>
  [[noreturn]] void fail_at(uint64_t offset, fmt::format_string<Args...> format, Args&&... args) const {
    refuse("damaged at byte {}: {}", offset, fmt::format(format, std::forward<Args>(args)...));
  }

  /// Names may contain any byte.
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}: {}", file_.path(), printable_line(fmt::format(format, std::forward<Args>(args)...)));
  }

  /// Reads the next header and passes its data. Returns false at the end mark.
  bool next() {
    if (file_.size() - at_ < kTarBlock) {
      fail_at(at_, "the file ends without an end mark after {} members; it has been cut", members_.size());
    }
    std::array<uint8_t, kTarBlock> block;
    file_.read(block.data(), kTarBlock, at_);
    if (all_zero(block)) {
      check_end();
      return false;
    }
    const uint64_t header = at_;
    const std::string_view magic = text_in(block, kMagic);
    const std::optional<uint64_t> size = number_in(block, kSize);
    if (number_in(block, kChecksum) != checksum_of(block) || (magic != kUstar && magic != kGnu) || !size) {
      fail_at(header, "wanted the header of a member or the end mark");
    }
    at_ += kTarBlock;
    const auto type = static_cast<char>(block[kType]);
    const std::string name = name_of(block, type);
    const bool extension = type == 'x' || type == 'g' || type == 'L';
    const uint64_t bytes = !extension && long_size_ ? *long_size_ : *size;
    pass_data(header, name, bytes);
    const uint64_t data = header + kTarBlock;
    if (extension) {
      read_extension(type, header, bytes);
      return true;
    }
    check_name(header, name);
    if (type == '0' || type == '\0') {
      members_.push_back({.name = name, .offset = data, .size = bytes});
    } else if (type != '5') {
      refuse("member '{}' is a link, a device or of another type ('{}'); wanted regular files", name, type);
    } else if (bytes != 0) {
      fail_at(header, "the folder '{}' has {} bytes", name, bytes);
    }
    long_name_.reset();
    long_size_.reset();
    return true;
  }

  std::string name_of(Bytes block, char type) const {
    if (long_name_ && type != 'x' && type != 'g' && type != 'L') {
      return *long_name_;
    }
    const std::string name(name_in(block, kName));
    const std::string_view prefix = text_in(block, kMagic) == kUstar ? name_in(block, kPrefix) : "";
    return prefix.empty() ? name : fmt::format("{}/{}", prefix, name);
  }

  void pass_data(uint64_t header, const std::string& name, uint64_t bytes) {
    const uint64_t left = file_.size() - at_;
    if (bytes > left || padded_to_tar_blocks(bytes) > left) {
      fail_at(header, "member '{}' has {} bytes, and the file ends after {}; it has been cut, or the size is wrong", name,
              bytes, left);
    }
    std::array<uint8_t, kTarBlock> padding;
    const uint64_t padding_bytes = padded_to_tar_blocks(bytes) - bytes;
    file_.read(padding.data(), padding_bytes, at_ + bytes);
    if (!all_zero(Bytes(padding).first(padding_bytes))) {
      fail_at(at_ + bytes, "member '{}' does not end here; its size is wrong", name);
    }
    at_ += padded_to_tar_blocks(bytes);
  }

  /// Reads the name and the size that a pax or GNU header gives for the member after it.
  void read_extension(char type, uint64_t header, uint64_t bytes) {
    if (bytes > kMaxExtension) {
      fail_at(header, "an extended header of {} bytes", bytes);
    }
    std::string text(bytes, '\0');
    file_.read(text.data(), bytes, header + kTarBlock);
    if (type == 'L') {
      long_name_ = text.substr(0, text.find('\0'));
      return;
    }
    for (std::string_view left = text; !left.empty();) {
      // "LENGTH KEY=VALUE\n"
      uint64_t length = 0;
      const auto [end, error] = std::from_chars(left.data(), left.data() + left.size(), length);
      const auto digits = static_cast<size_t>(end - left.data());
      if (error != std::errc() || length > left.size() || length < digits + 2 || left[digits] != ' ' ||
          left[length - 1] != '\n') {
        fail_at(header, "a damaged extended header");
      }
      const std::string_view record = left.substr(digits + 1, length - digits - 2);
      if (record.find('=') == std::string_view::npos) {
        fail_at(header, "a damaged extended header");
      }
      const std::string_view key = record.substr(0, record.find('='));
      const std::string_view value = record.substr(key.size() + 1);
      if (key.starts_with("GNU.sparse") || (type == 'g' && (key == "path" || key == "size"))) {
        refuse("the extended header at byte {} has the key '{}', which is not supported", header, key);
      }
      if (key == "path") {
        long_name_ = value;
      } else if (key == "size") {
        uint64_t size = 0;
        if (std::from_chars(value.data(), value.data() + value.size(), size).ptr != value.data() + value.size() ||
            value.empty()) {
          fail_at(header, "the extended header has the size '{}'", value);
        }
        long_size_ = size;
      }
      left.remove_prefix(length);
    }
  }

  void check_name(uint64_t header, const std::string& name) const {
    if (!is_inside_folder(name)) {
      refuse("the member at byte {} has the name '{}'; wanted a path inside the tar file, without '..'", header, name);
    }
  }

  /// At the first zero block: two of them end the file, and zeros may fill the last record.
  void check_end() const {
    if (long_name_ || long_size_) {
      fail_at(at_, "an extended header without its member");
    }
    const uint64_t zeros = file_.size() - at_;
    const uint64_t shortest = at_ + 2 * kTarBlock;
    if (file_.size() != shortest && file_.size() != (shortest + kRecord - 1) / kRecord * kRecord) {
      fail_at(at_, "{} bytes from the end mark to the end of the file; wanted {}, or zeros up to a multiple of {}", zeros,
              2 * kTarBlock, kRecord);
    }
    std::vector<uint8_t> rest(zeros);
    file_.read(rest.data(), zeros, at_);
    if (!all_zero(rest)) {
      fail_at(at_, "bytes other than zero after the end mark");
    }
  }

  const InputFile& file_;
  uint64_t at_ = 0;
  std::vector<TarMember> members_;
  std::optional<std::string> long_name_;  // of the next member
  std::optional<uint64_t> long_size_;
};

/// The header of a regular file; `name` and `size` must fit.
std::array<uint8_t, kTarBlock> header_of(const std::string& name, uint64_t size) {
  std::array<uint8_t, kTarBlock> block{};
  const auto put = [&](Field field, std::string_view text) {
    std::memcpy(block.data() + field.offset, text.data(), text.size());
  };
  put(kName, name);
  put(kMode, "0000644");
  put(kUser, "0000000");
  put(kGroup, "0000000");
  put(kSize, fmt::format("{:011o}", size));
  put(kTime, "00000000000");
  block[kType] = '0';
  put(kMagic, kUstar);
  put(kChecksum, fmt::format("{:06o}", checksum_of(block)) + std::string("\0 ", 2));
  return block;
}

}  // namespace

std::vector<TarMember> list_tar(const InputFile& file) { return Lister(file).list(); }

bool is_tar_header(Bytes block, const std::string& name, uint64_t size) {
  // An extended header before this one holds a name that is long or not ASCII.
  const bool in_block = name.size() <= kName.bytes && std::ranges::all_of(name, [](char c) { return (c & 0x80) == 0; });
  return number_in(block, kChecksum) == checksum_of(block) && number_in(block, kSize) == size &&
         (!in_block || name_in(block, kName) == name);
}

void append_tar_member(std::string& tar, const std::string& name, Bytes bytes) {
  if (name.empty() || name.size() > kName.bytes || bytes.size() >> 33 != 0) {
    fail("tar: the member '{}' of {} bytes does not fit; wanted a name of at most {} bytes and at most 8 GiB", name,
         bytes.size(), kName.bytes);
  }
  const std::array<uint8_t, kTarBlock> header = header_of(name, bytes.size());
  tar.append(reinterpret_cast<const char*>(header.data()), header.size());
  tar.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  tar.append(padded_to_tar_blocks(bytes.size()) - bytes.size(), '\0');
}

std::string tar_end() { return std::string(2 * kTarBlock, '\0'); }

}  // namespace residua
