#include "core/distributed/tcp_rendezvous.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <list>
#include <optional>
#include <thread>
#include <utility>

#include "core/base/join.h"
#include "core/distributed/communicator.h"
#include "core/distributed/tcp_frame.h"

namespace residua {
namespace {

using Clock = std::chrono::steady_clock;
using Magic = std::array<char, 8>;

/// What a rank says first, and what rank 0 answers. They differ, so that a socket that is connected with itself is not mistaken
/// for rank 0.
constexpr Magic kHello{'R', 'e', 's', 'i', 'd', 'u', 'a', '>'}, kWelcome{'R', 'e', 's', 'i', 'd', 'u', 'a', '<'};
constexpr int64_t kVersion = 1;
constexpr double kAnswerSeconds = 5;  // a connection that says nothing so long is not one of ours
constexpr size_t kMostWaiting = 256;  // connections that have not said who they are
constexpr std::chrono::milliseconds kRetry{100};

struct Hello {
  Magic magic;
  int64_t version, rank, world, process;
};
/// Followed by the text of a refusal.
struct Welcome {
  Magic magic;
  int64_t text_bytes;  // 0: welcome
};
constexpr int64_t kMostText = 4096;

/// A connection that has not said who it is.
struct Newcomer {
  Socket socket;
  Deadline deadline;
  std::string said = {};
};

class Door {
 public:
  Door(const Launch& launch, double limit)
      : launch_(launch), limit_(limit), listener_(Socket::listen(launch.address, tcp_port(launch))) {
    ranks_.resize(static_cast<size_t>(launch.world));
    names_.resize(ranks_.size());
  }

  std::vector<Socket> let_all_in() {
    const Deadline deadline = deadline_in(limit_);
    while (missing_ > 0) {
      if (Clock::now() >= deadline) {
        fail_for_missing();
      }
      wait();
      for (Socket socket = listener_.accept(); socket.open(); socket = listener_.accept()) {
        if (newcomers_.size() == kMostWaiting) {
          newcomers_.pop_front();
        }
        newcomers_.push_back({.socket = std::move(socket), .deadline = deadline_in(kAnswerSeconds)});
      }
      std::erase_if(newcomers_, [&](Newcomer& newcomer) { return decided(newcomer); });
    }
    return std::move(ranks_);
  }

 private:
  void wait() const {
    std::vector<pollfd> watched{{.fd = listener_.fd(), .events = POLLIN, .revents = 0}};
    for (const Newcomer& newcomer : newcomers_) {
      watched.push_back({.fd = newcomer.socket.fd(), .events = POLLIN, .revents = 0});
    }
    static_cast<void>(::poll(watched.data(), watched.size(), 100));  // after an error, the next calls find out more
  }

  /// Whether a newcomer is let in or gone.
  bool decided(Newcomer& newcomer) {
    try {
      newcomer.socket.receive(newcomer.said, sizeof(Hello) - newcomer.said.size());
      // A stranger need not send as much as we expect.
      const size_t told = std::min(newcomer.said.size(), kHello.size());
      if (std::memcmp(newcomer.said.data(), kHello.data(), told) != 0) {
        return true;
      }
      if (newcomer.said.size() < sizeof(Hello)) {
        return Clock::now() >= newcomer.deadline;
      }
      Hello hello;
      std::memcpy(&hello, newcomer.said.data(), sizeof hello);
      const std::string refusal = refusal_of(hello, newcomer.socket.peer());
      const Welcome welcome{.magic = kWelcome, .text_bytes = static_cast<int64_t>(refusal.size())};
      std::string answer(reinterpret_cast<const char*>(&welcome), sizeof welcome);
      newcomer.socket.send(answer + refusal, deadline_in(1));
      if (refusal.empty()) {
        const auto rank = static_cast<size_t>(hello.rank);
        names_[rank] = fmt::format("{}, process {}", newcomer.socket.peer(), hello.process);
        ranks_[rank] = std::move(newcomer.socket);
        --missing_;
      } else {
        last_refusal_ = fmt::format("; refused: {}", refusal);
      }
    } catch (const Error&) {  // it has gone
    }
    return true;
  }

  /// Why a rank is not let in; empty if it is.
  std::string refusal_of(const Hello& hello, const std::string& peer) const {
    if (hello.version != kVersion) {
      return fmt::format("a rank at {} speaks version {}, rank 0 speaks version {}: use the same build on all machines", peer,
                         hello.version, kVersion);
    }
    if (hello.world != launch_.world) {
      return fmt::format("a rank at {} belongs to {} ranks, rank 0 to {}: is another run using port {}?", peer, hello.world,
                         launch_.world, tcp_port(launch_));
    }
    if (hello.rank <= 0 || hello.rank >= launch_.world) {
      return fmt::format("a process at {} says that it is rank {}, wanted 1 to {}", peer, hello.rank, launch_.world - 1);
    }
    const auto rank = static_cast<size_t>(hello.rank);
    return ranks_[rank].open() ? fmt::format("two processes say that they are rank {}: {} and {}, process {}", hello.rank,
                                             names_[rank], peer, hello.process)
                               : "";
  }

  [[noreturn]] void fail_for_missing() const {
    std::vector<std::string> numbers;
    for (size_t rank = 1; rank < ranks_.size(); ++rank) {
      if (!ranks_[rank].open()) {
        numbers.push_back(std::to_string(rank));
      }
    }
    const std::string what =
        fmt::format("rank {} of {} did not connect to rank 0 at {}:{} within {:g} s{}", join(numbers, ", "), launch_.world,
                    launch_.address, tcp_port(launch_), limit_, last_refusal_);
    for (const Socket& socket : ranks_) {
      if (socket.open()) {
        try {
          socket.send(frame(FrameKind::failure, what), deadline_in(1));
        } catch (const Error&) {  // it has gone too
        }
      }
    }
    throw RankFailure(what);
  }

  const Launch& launch_;
  const double limit_;
  const Socket listener_;
  std::list<Newcomer> newcomers_;
  std::vector<Socket> ranks_;
  std::vector<std::string> names_;
  int64_t missing_ = launch_.world - 1;
  std::string last_refusal_;
};

/// Waits for so many bytes; nothing if they do not come.
std::optional<std::string> read(const Socket& socket, size_t bytes, Deadline deadline) {
  std::string got;
  while (got.size() < bytes) {
    if (!socket.wait_for_input(deadline)) {
      return {};
    }
    socket.receive(got, bytes - got.size());
  }
  return got;
}

/// Introduces this rank. Returns false if the other end is not rank 0, and then `why` says so.
bool introduce(const Socket& socket, const Launch& launch, std::string& why) {
  const Hello hello{.magic = kHello, .version = kVersion, .rank = launch.rank, .world = launch.world, .process = ::getpid()};
  const Deadline deadline = deadline_in(kAnswerSeconds);
  why = "what listens there does not answer like rank 0 of this program";
  try {
    socket.send({reinterpret_cast<const char*>(&hello), sizeof hello}, deadline);
    const std::optional<std::string> answer = read(socket, sizeof(Welcome), deadline);
    if (!answer) {
      return false;
    }
    Welcome welcome;
    std::memcpy(&welcome, answer->data(), sizeof welcome);
    if (welcome.magic != kWelcome || welcome.text_bytes < 0 || welcome.text_bytes > kMostText) {
      return false;
    }
    const std::optional<std::string> refusal = read(socket, static_cast<size_t>(welcome.text_bytes), deadline);
    if (refusal && !refusal->empty()) {
      fail_usage("rank {} is refused by rank 0: {}", launch.rank, *refusal);
    }
    return refusal.has_value();
  } catch (const ConnectionLost& lost) {
    why = lost.what();
    return false;
  }
}

Socket find_rank_0(const Launch& launch, double limit) {
  const Deadline deadline = deadline_in(limit);
  std::string why;
  while (Clock::now() < deadline) {
    Socket socket = Socket::connect(launch.address, tcp_port(launch), std::min(deadline, deadline_in(kAnswerSeconds)), why);
    if (socket.open() && introduce(socket, launch, why)) {
      return socket;
    }
    std::this_thread::sleep_for(kRetry);
  }
  throw RankFailure(fmt::format("rank {} cannot reach rank 0 at {}:{} within {:g} s: {}", launch.rank, launch.address,
                                tcp_port(launch), limit, why));
}

}  // namespace

int64_t tcp_port(const Launch& launch) { return launch.port < 65535 ? launch.port + 1 : launch.port - 1; }

std::vector<Socket> tcp_rendezvous(const Launch& launch, double limit) {
  if (launch.rank == 0) {
    return Door(launch, limit).let_all_in();
  }
  std::vector<Socket> sockets;
  sockets.push_back(find_rank_0(launch, limit));
  return sockets;
}

}  // namespace residua
