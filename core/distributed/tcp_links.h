#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/distributed/launch.h"
#include "core/distributed/tcp_frame.h"

namespace residua {

/// The connections of a rank, and the thread that reads them. All calls are for any thread.
class TcpLinks {
 public:
  TcpLinks(const Launch& launch, double limit);
  ~TcpLinks();
  TcpLinks(const TcpLinks&) = delete;
  TcpLinks& operator=(const TcpLinks&) = delete;

  /// Sends a frame to a rank: to rank 0, or from it. Throws Error if it is not taken before the deadline.
  void send(int64_t rank, FrameKind kind, std::string_view body, Deadline deadline);
  /// Sends a frame to all that are connected with this one, and does not mind those that do not take it.
  void send_to_all(FrameKind kind, std::string_view body);
  /// The next body that has come from a rank by a gather. False if none comes before the deadline, or a rank has died, or the
  /// others have failed.
  bool take(int64_t rank, std::string& body, Deadline deadline);

  void count_gather();
  void set_calls(int64_t calls);
  /// Asks all ranks how far they are, and waits until each has answered, has ended, or is silent. In the order of the ranks;
  /// rank 0 alone, if it has ended. Empty if rank 0 does not answer.
  std::vector<RankStatus> table();
  /// Waits until it is known how a connection that takes nothing has ended. Returns false if that is unknown at the deadline.
  bool wait_for_end(int64_t rank, Deadline deadline);
  /// What is known of a rank that has died, or what the others say has failed; empty if nothing is.
  std::string death();
  /// How errors call the ranks.
  void set_names(const std::vector<std::string>& names);
  std::string name(int64_t rank);

 private:
  using Clock = std::chrono::steady_clock;
  struct Link {
    Socket socket;
    std::mutex sending;
    FrameReader reader;  // of the thread
    std::atomic<bool> lost = false;
    std::deque<std::string> received;  // values, not taken yet
    RankStatus status;
    Clock::duration quiet = {};                         // for how long nothing has come from it, see work()
    Clock::time_point answered = {};                    // when its last status came
    Clock::time_point told = {};                        // when this rank's last status went to it
    bool asks = false;                                  // it wants this rank's status
    bool asked = false;                                 // a question must go to it
    std::optional<Clock::time_point> wants_table = {};  // since when it waits for one
  };

  Link& link(int64_t rank) { return links_[leads_ ? static_cast<size_t>(rank) : 0]; }
  int64_t rank_of(const Link& link) const { return leads_ ? &link - links_.data() : 0; }
  /// Reads and sends what is due until this object ends. It counts how long each rank is quiet, without the time in which this
  /// process is stopped while it waits: after such a pause no rank counts as silent.
  void work();
  void read(Link& link);
  void handle(Link& link, Frame frame);
  void lose(Link& link, const std::string& why);
  /// Sends what is due.
  void tell();
  /// Sends a small frame unless another thread is sending to the same rank. Returns whether it is sent, or can never be.
  bool try_to_send(Link& link, FrameKind kind, std::string_view body);

  // With mutex_ locked:
  void ask_all();
  bool ended(const Link& link) const { return !link.socket.open() || link.status.end != RankEnd::none; }
  bool silent(const Link& link) const { return link.quiet >= silence_; }
  bool known_since(const Link& link, Clock::time_point asked) const {
    return ended(link) || link.answered >= asked || silent(link);
  }
  bool all_known_since(Clock::time_point asked) const {
    return std::ranges::all_of(links_, [&](const Link& link) { return known_since(link, asked); });
  }
  std::vector<RankStatus> own_table() const;

  const Launch launch_;
  const bool leads_;
  const Clock::duration silence_;  // a rank of which nothing is heard for so long does not answer
  std::vector<Link> links_;
  std::mutex mutex_;  // of all below, and of what a link has below `lost`
  std::condition_variable changed_;
  RankStatus own_;
  std::vector<RankStatus> table_;  // the last one that rank 0 has sent
  int64_t tables_ = 0;
  std::vector<std::string> names_;
  std::string death_;
  bool ends_ = false;
  std::thread thread_;  // last, so that it ends before what it uses
};

}  // namespace residua
