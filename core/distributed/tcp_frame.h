#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/distributed/socket.h"

namespace residua {

/// What ranks that are connected by TCP tell each other.
enum class FrameKind : uint32_t {
  value,     // to rank 0: this rank's value of a gather
  values,    // from rank 0: all ranks' values
  status,    // RankStatus of the sender: the answer to a question, and now and then without one
  question,  // how far are you? Of rank 0: how far are all?
  table,     // from rank 0: RankStatus of all ranks
  failure,   // from rank 0: this has failed
  end,       // this rank ends in order
  abort      // all end at once with this exit code
};

struct Frame {
  FrameKind kind;
  std::string body;
};

enum class RankEnd : int64_t { none, in_order, dead };

/// How far a rank is.
struct RankStatus {
  int64_t gathers = 0;
  int64_t calls = 0;   // see HostCommunicator::set_progress()
  int64_t silent = 0;  // 1: rank 0 has heard nothing of it for a while, though it asked
  RankEnd end = RankEnd::none;
};

constexpr int64_t kMostValueBytes = int64_t{64} << 20;
constexpr int64_t kMostFrameBytes = int64_t{1} << 30;

/// The bytes of a frame.
std::string frame(FrameKind kind, std::string_view body);
/// Many values as the body of a frame, and back. Throws Error if the body is not sound.
std::string packed(const std::vector<std::string>& values);
std::vector<std::string> unpacked(std::string_view body);

/// Takes frames from a socket.
class FrameReader {
 public:
  /// The next frame that has arrived completely. Does not wait. Throws ConnectionLost at the end of the connection, and Error
  /// if what arrives is no frame.
  std::optional<Frame> next(const Socket& socket);

 private:
  std::string bytes_;
};

}  // namespace residua
