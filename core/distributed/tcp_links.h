#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
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
  /// What is known of all ranks, in their order; of rank 0 alone, if it has ended. Empty if rank 0 does not answer.
  std::vector<RankStatus> table();
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
    Clock::time_point heard = Clock::now();
  };

  Link& link(int64_t rank) { return links_[leads_ ? static_cast<size_t>(rank) : 0]; }
  int64_t rank_of(const Link& link) const { return leads_ ? &link - links_.data() : 0; }
  void work();
  void read(Link& link);
  void handle(Link& link, Frame frame);
  void lose(Link& link, const std::string& why);
  std::vector<RankStatus> own_table();
  std::string own_status();

  const Launch launch_;
  const bool leads_;
  std::vector<Link> links_;
  std::mutex mutex_;  // of all below, and of `received`, `status` and `heard`
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
