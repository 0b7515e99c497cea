#include "core/distributed/tcp_frame.h"

#include <cstring>

namespace residua {
namespace {

constexpr uint32_t kMagic = 0x52534455;

struct Header {
  uint32_t magic = kMagic;
  FrameKind kind;
  int64_t bytes;
};

}  // namespace

std::string frame(FrameKind kind, std::string_view body) {
  const Header header{.kind = kind, .bytes = static_cast<int64_t>(body.size())};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes += body;
  return bytes;
}

std::string packed(const std::vector<std::string>& values) {
  std::string body;
  for (const std::string& value : values) {
    const auto size = static_cast<int64_t>(value.size());
    body.append(reinterpret_cast<const char*>(&size), sizeof size);
    body += value;
  }
  return body;
}

std::vector<std::string> unpacked(std::string_view body) {
  std::vector<std::string> values;
  while (!body.empty()) {
    int64_t size = 0;
    if (body.size() < sizeof size) {
      fail("what rank 0 sends is cut off");
    }
    std::memcpy(&size, body.data(), sizeof size);
    body.remove_prefix(sizeof size);
    if (size < 0 || static_cast<uint64_t>(size) > body.size()) {
      fail("what rank 0 sends is not sound: a value of {} bytes, {} are left", size, body.size());
    }
    values.emplace_back(body.substr(0, static_cast<size_t>(size)));
    body.remove_prefix(static_cast<size_t>(size));
  }
  return values;
}

std::optional<Frame> FrameReader::next(const Socket& socket) {
  for (;;) {
    // Memory grows with what has arrived, not with what is announced.
    size_t wanted = sizeof(Header);
    if (bytes_.size() >= sizeof(Header)) {
      Header header;
      std::memcpy(&header, bytes_.data(), sizeof header);
      if (header.magic != kMagic || header.kind > FrameKind::abort || header.bytes < 0 || header.bytes > kMostFrameBytes) {
        fail("what arrives is not of this program");
      }
      wanted += static_cast<size_t>(header.bytes);
      if (bytes_.size() == wanted) {
        Frame whole{.kind = header.kind, .body = bytes_.substr(sizeof header)};
        bytes_.clear();
        return whole;
      }
    }
    const size_t before = bytes_.size();
    socket.receive(bytes_, wanted - before);
    if (bytes_.size() == before) {
      return {};
    }
  }
}

}  // namespace residua
