#include "core/run/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "tests/support/peer_python.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

/// A reader of its own of what the writer makes: the fields of a protobuf message by number, numbers as their 8 bytes.
struct Message {
  std::map<uint64_t, std::string> bytes;
  std::map<uint64_t, uint64_t> numbers;
};

uint64_t take_little_endian(std::string_view& rest, size_t count) {
  if (rest.size() < count) {
    throw std::runtime_error("cut short");
  }
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    value |= uint64_t{static_cast<unsigned char>(rest[i])} << 8 * i;
  }
  rest.remove_prefix(count);
  return value;
}

uint64_t take_varint(std::string_view& rest) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const uint64_t byte = take_little_endian(rest, 1);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      return value;
    }
  }
}

std::string take_bytes(std::string_view& rest, uint64_t count) {
  if (rest.size() < count) {
    throw std::runtime_error("cut short");
  }
  const std::string bytes(rest.substr(0, count));
  rest.remove_prefix(count);
  return bytes;
}

Message parse(std::string_view rest) {
  Message message;
  while (!rest.empty()) {
    const uint64_t key = take_varint(rest);
    switch (key % 8) {
      case 0: message.numbers[key / 8] = take_varint(rest); break;
      case 1: message.numbers[key / 8] = take_little_endian(rest, 8); break;
      case 2: message.bytes[key / 8] = take_bytes(rest, take_varint(rest)); break;
      case 5: message.numbers[key / 8] = take_little_endian(rest, 4); break;
      default: throw std::runtime_error("unknown wire type");
    }
  }
  return message;
}

/// CRC-32C one bit at a time, straight from its polynomial.
uint32_t slow_crc32c(std::string_view bytes) {
  uint32_t crc = 0xffffffffU;
  for (const char byte : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t carry = (crc ^ static_cast<unsigned char>(byte) >> bit) & 1U;
      crc = crc >> 1 ^ carry * 0x82f63b78U;
    }
  }
  return crc ^ 0xffffffffU;
}

uint32_t masked(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8U; }

std::vector<Message> events(const std::string& path) {
  const std::string file = read_bytes(path);
  std::vector<Message> found;
  for (std::string_view rest = file; !rest.empty();) {
    const std::string_view length_bytes = rest.substr(0, 8);
    const uint64_t length = take_little_endian(rest, 8);
    EXPECT_EQ(take_little_endian(rest, 4), masked(slow_crc32c(length_bytes)));
    const std::string body = take_bytes(rest, length);
    EXPECT_EQ(take_little_endian(rest, 4), masked(slow_crc32c(body)));
    found.push_back(parse(body));
  }
  return found;
}

template <class To, class From>
To bits_as(From bits) {
  To value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TEST(TensorBoard, Crc32cIsThatOfTheRfc) {
  EXPECT_EQ(crc32c(""), 0U);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
}

TEST(TensorBoard, ScalarsReadBack) {
  const TemporaryFolder folder;
  TensorBoardWriter writer(folder.path());
  writer.scalar("train/loss", 50, 2.5);
  writer.scalar("validation/top1_error", 5'000'000'000, 12.25);
  writer.scalar(std::string(300, 'x'), 0, 0.1);
  const std::vector<Message> read = events(writer.path());
  ASSERT_EQ(read.size(), 4U);
  EXPECT_EQ(read[0].bytes.at(3), "brain.Event:2");
  const double seconds = bits_as<double>(read[1].numbers.at(1));
  EXPECT_NEAR(seconds, static_cast<double>(std::time(nullptr)), 60);

  const auto value = [](const Message& event) { return parse(parse(event.bytes.at(5)).bytes.at(1)); };
  EXPECT_EQ(read[1].numbers.at(2), 50U);
  EXPECT_EQ(value(read[1]).bytes.at(1), "train/loss");
  EXPECT_EQ(bits_as<float>(static_cast<uint32_t>(value(read[1]).numbers.at(2))), 2.5F);
  EXPECT_EQ(read[2].numbers.at(2), 5'000'000'000U);
  EXPECT_EQ(bits_as<float>(static_cast<uint32_t>(value(read[2]).numbers.at(2))), 12.25F);
  EXPECT_EQ(value(read[3]).bytes.at(1), std::string(300, 'x'));
}

TEST(TensorBoard, AResumedRunForgetsLaterSteps) {
  const TemporaryFolder folder;
  const TensorBoardWriter first(folder.path());
  const TensorBoardWriter second(folder.path(), 100);
  EXPECT_LT(first.path(), second.path());
  EXPECT_EQ(events(first.path()).size(), 1U);
  const std::vector<Message> read = events(second.path());
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[1].numbers.at(2), 101U);
  EXPECT_EQ(parse(read[1].bytes.at(7)).numbers.at(1), 1U);  // SessionLog.START
}

// A kill leaves the last record of a file torn, at any byte.
TEST(TensorBoard, TensorBoardReadsTheFilesOfARunThatWasKilledTwentyTimes) {
  const std::string python = peer_python("tensorboard");
  if (python.empty()) {
    GTEST_SKIP() << "RESIDUA_PYTHON names no Python with tensorboard";
  }
  const TemporaryFolder folder;
  int64_t step = 0;
  for (int kill = 0; kill <= 20; ++kill) {
    std::string path;
    {
      TensorBoardWriter writer(folder.path(), kill == 0 ? -1 : step);
      path = writer.path();
      for (int i = 0; i < 5; ++i) {
        ++step;
        writer.scalar("train/loss", step, 10.0 * static_cast<double>(step));
      }
      step -= 2;  // the checkpoint to go on from: two steps are repeated
    }
    if (kill < 20) {
      std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1 - static_cast<uint64_t>(2 * kill));
    }
  }
  write_bytes(folder / "peer.py", R"(
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
accumulator = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}).Reload()
points = [(event.step, event.value) for event in accumulator.Scalars("train/loss")]
assert points == [(step, 10 * step) for step in range(1, 66)], points
)");
  EXPECT_EQ(std::system((python + " " + folder / "peer.py" + " " + folder.path()).c_str()), 0);
}

TEST(TensorBoard, AMissingFolderIsAnError) {
  const TemporaryFolder folder;
  EXPECT_THROW(TensorBoardWriter(folder / "missing"), Error);
}

TEST(TensorBoard, TensorBoardReadsIt) {
  const std::string python = peer_python("tensorboard");
  if (python.empty()) {
    GTEST_SKIP() << "RESIDUA_PYTHON names no Python with tensorboard";
  }
  const TemporaryFolder folder;
  {
    TensorBoardWriter writer(folder.path());
    for (const int64_t step : {1, 2, 3, 4}) {
      writer.scalar("train/loss", step, 10.0 * static_cast<double>(step));
    }
    TensorBoardWriter resumed(folder.path(), 2);
    resumed.scalar("train/loss", 3, 31);
  }
  write_bytes(folder / "peer.py", R"(
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
accumulator = EventAccumulator(sys.argv[1]).Reload()
points = [(event.step, event.value) for event in accumulator.Scalars("train/loss")]
assert points == [(1, 10), (2, 20), (3, 31)], points
)");
  EXPECT_EQ(std::system((python + " " + folder / "peer.py" + " " + folder.path()).c_str()), 0);
}

}  // namespace
}  // namespace residua::test
