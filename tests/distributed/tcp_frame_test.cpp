#include "core/distributed/tcp_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "tests/support/compare.h"

namespace residua::test {
namespace {

/// A connection within this process.
struct Connection {
  Connection() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      fail("socketpair failed: {}", std::strerror(errno));
    }
    here = Socket(ends[0]);
    there = Socket(ends[1]);
  }
  void send(std::string_view bytes) const { there.send(bytes, deadline_in(10)); }
  std::optional<Frame> next() { return reader.next(here); }

  Socket here, there;
  FrameReader reader;
};

/// A frame without a body, with other bytes at an offset of its header: u32 magic, u32 kind, i64 bytes of the body.
template <class T>
std::string header_with(size_t offset, T value) {
  std::string bytes = frame(FrameKind::value, "");
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  return bytes;
}

TEST(TcpFrames, ArriveInPiecesAndInARow) {
  Connection connection;
  const std::string bytes = frame(FrameKind::status, "how it goes") + frame(FrameKind::end, "") + frame(FrameKind::value, "7");
  std::vector<std::pair<FrameKind, std::string>> got;
  for (const char byte : bytes) {
    connection.send({&byte, 1});
    while (std::optional<Frame> whole = connection.next()) {
      got.emplace_back(whole->kind, whole->body);
    }
  }
  EXPECT_THAT(got, testing::ElementsAre(std::pair(FrameKind::status, "how it goes"), std::pair(FrameKind::end, ""),
                                        std::pair(FrameKind::value, "7")));
}

TEST(TcpFrames, WithAFalseLengthAreRefused) {
  using Limits = std::numeric_limits<int64_t>;
  for (const int64_t length : {int64_t{-1}, int64_t{-16}, Limits::min(), kMostFrameBytes + 1, Limits::max()}) {
    Connection connection;
    connection.send(header_with(8, length));
    EXPECT_TRUE(fails_with([&] { connection.next(); }, {"what arrives is not of this program"})) << length;
  }
  Connection connection;
  connection.send(header_with(8, kMostFrameBytes));
  EXPECT_FALSE(connection.next()) << "the longest one is waited for";
}

TEST(TcpFrames, OfOtherProgramsAreRefused) {
  for (const std::string& bytes :
       {header_with(0, uint32_t{0}), header_with(4, uint32_t{99}), std::string("GET / HTTP/1.1\r\n")}) {
    Connection connection;
    connection.send(bytes);
    EXPECT_TRUE(fails_with([&] { connection.next(); }, {"what arrives is not of this program"}));
  }
}

TEST(TcpFrames, ValuesWithAFalseLengthAreRefused) {
  const std::vector<std::string> values = {"one", "", std::string(1000, '\0')};
  EXPECT_EQ(unpacked(packed(values)), values);
  for (const int64_t length : {int64_t{-1}, int64_t{4}, std::numeric_limits<int64_t>::max()}) {
    std::string body = packed({"one"});
    std::memcpy(body.data(), &length, sizeof length);
    EXPECT_TRUE(fails_with([&] { unpacked(body); }, {fmt::format("a value of {} bytes, 3 are left", length)}));
  }
  EXPECT_TRUE(fails_with([] { unpacked(packed({"one"}) + "cut"); }, {"is cut off"}));
}

}  // namespace
}  // namespace residua::test
