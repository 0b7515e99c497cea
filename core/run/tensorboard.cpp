#include "core/run/tensorboard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <string>

namespace residua {
namespace {

static_assert(std::endian::native == std::endian::little, "TFRecord and protobuf are little-endian");

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc >> 1 ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
    }
    table[i] = crc;
  }
  return table;
}

template <class T>
std::string bytes_of(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

/// TFRecord masks its checksums by rotation and addition, because a CRC of data that contains CRCs is weak.
std::string masked_crc(std::string_view bytes) { return bytes_of(std::rotr(crc32c(bytes), 15) + 0xa282ead8U); }

// Protocol buffer fields: a key (number * 8 + wire type), then the value. https://protobuf.dev/programming-guides/encoding/
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) {
    bytes += static_cast<char>(value | 0x80);
  }
  return bytes + static_cast<char>(value);
}
std::string varint_field(uint32_t number, int64_t value) { return varint(number * 8) + varint(static_cast<uint64_t>(value)); }
std::string double_field(uint32_t number, double value) { return varint(number * 8 + 1) + bytes_of(value); }
std::string float_field(uint32_t number, float value) { return varint(number * 8 + 5) + bytes_of(value); }
std::string bytes_field(uint32_t number, std::string_view value) {
  return varint(number * 8 + 2) + varint(value.size()) + std::string(value);
}

/// The fields of tensorflow.Event and of its messages, by their numbers in event.proto and summary.proto.
namespace event {
std::string at(int64_t step) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return double_field(1, now.count()) + varint_field(2, step);
}
std::string file_version() { return at(0) + bytes_field(3, "brain.Event:2"); }
std::string session_start(int64_t step) { return at(step) + bytes_field(7, varint_field(1, 1)); }
std::string scalar(std::string_view tag, int64_t step, float value) {
  return at(step) + bytes_field(5, bytes_field(1, bytes_field(1, tag) + float_field(2, value)));
}
}  // namespace event

/// TensorBoard reads a folder's files in name order. Its own writers put seconds into the name; nanoseconds make the file of a
/// resumed run sort after the earlier ones.
std::string new_event_file(const std::string& folder) {
  using std::chrono::nanoseconds;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) {
    host = {"localhost"};
  }
  const int64_t now = std::chrono::duration_cast<nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  constexpr int64_t kSecond = 1'000'000'000;
  return fmt::format("{}/{}{}.{:09}.{}.{}", folder, kEventFilePrefix, now / kSecond, now % kSecond, host.data(), ::getpid());
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = make_crc_table();
  uint32_t crc = 0xffffffffU;
  for (const char byte : bytes) {
    crc = crc >> 8 ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xffU];
  }
  return ~crc;
}

TensorBoardWriter::TensorBoardWriter(const std::string& folder, int64_t resumed_step) : file_(new_event_file(folder)) {
  write_event(event::file_version());
  if (resumed_step >= 0) {
    write_event(event::session_start(resumed_step + 1));
  }
}

void TensorBoardWriter::scalar(std::string_view tag, int64_t step, double value) {
  write_event(event::scalar(tag, step, static_cast<float>(value)));
}

void TensorBoardWriter::write_event(std::string_view event) {
  const std::string length = bytes_of(uint64_t{event.size()});
  file_.append(length + masked_crc(length) + std::string(event) + masked_crc(event));
}

}  // namespace residua
