#include "core/distributed/tcp_links.h"

#include <poll.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/distributed/tcp_rendezvous.h"

namespace residua {
namespace {

/// How often the thread looks for what it has to send, and how often it tells its peers how far this rank is.
constexpr int kLookMilliseconds = 50;
constexpr std::chrono::milliseconds kTell{500};
/// A longer wait means that the process was stopped or had no processor. Only this much of it counts.
constexpr std::chrono::milliseconds kLongestLook{2 * kLookMilliseconds};
/// Longer than some statuses of a rank are apart; and how long small frames may take.
constexpr double kSilentSeconds = 2, kShortSeconds = 1;

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

template <class T>
T value_of(const std::string& body) {
  T value{};
  if (body.size() != sizeof value) {
    fail("a message has {} bytes, wanted {}", body.size(), sizeof value);
  }
  std::memcpy(&value, body.data(), sizeof value);
  return value;
}

}  // namespace

TcpLinks::TcpLinks(const Launch& launch, double limit)
    : launch_(launch),
      leads_(launch.rank == 0),
      silence_(std::chrono::duration_cast<Clock::duration>(
          std::chrono::duration<double>(limit > 0 ? std::min(limit, kSilentSeconds) : kSilentSeconds))),
      links_(leads_ ? static_cast<size_t>(launch.world) : 1) {
  std::vector<Socket> sockets = tcp_rendezvous(launch, limit);
  for (size_t i = 0; i < links_.size(); ++i) {
    links_[i].socket = std::move(sockets[i]);
  }
  thread_ = std::thread([this] { work(); });
}

TcpLinks::~TcpLinks() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  thread_.join();
  send_to_all(FrameKind::end, "");
}

void TcpLinks::send(int64_t rank, FrameKind kind, std::string_view body, Deadline deadline) {
  Link& to = link(rank);
  const std::lock_guard lock(to.sending);
  if (to.lost) {
    throw ConnectionLost("the connection was closed");
  }
  to.socket.send(frame(kind, body), deadline);
}

void TcpLinks::send_to_all(FrameKind kind, std::string_view body) {
  for (Link& to : links_) {
    if (to.socket.open() && !to.lost) {
      try {
        send(rank_of(to), kind, body, deadline_in(kShortSeconds));
      } catch (const Error&) {  // then it learns by the end of the connection
      }
    }
  }
}

bool TcpLinks::take(int64_t rank, std::string& body, Deadline deadline) {
  std::unique_lock lock(mutex_);
  Link& from = link(rank);
  changed_.wait_until(lock, deadline, [&] { return !from.received.empty() || !death_.empty() || ended(from); });
  if (from.received.empty()) {
    return false;
  }
  body = std::move(from.received.front());
  from.received.pop_front();
  return true;
}

bool TcpLinks::wait_for_end(int64_t rank, Deadline deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return ended(link(rank)); });
}

void TcpLinks::count_gather() {
  const std::lock_guard lock(mutex_);
  ++own_.gathers;
}

void TcpLinks::set_calls(int64_t calls) {
  const std::lock_guard lock(mutex_);
  own_.calls = calls;
}

void TcpLinks::ask_all() {
  for (Link& link : links_) {
    link.asked = true;
  }
}

std::vector<RankStatus> TcpLinks::table() {
  std::unique_lock lock(mutex_);
  const Clock::time_point asked = Clock::now();
  ask_all();
  if (leads_) {
    changed_.wait(lock, [&] { return all_known_since(asked); });
    return own_table();
  }
  Link& leader = links_[0];
  const int64_t before = tables_;
  if (leader.answered == Clock::time_point()) {
    leader.quiet = {};  // it says nothing before all ranks have come
  }
  changed_.wait(lock, [&] { return tables_ > before || ended(leader) || silent(leader); });
  if (ended(leader)) {
    return {leader.status};
  }
  return tables_ > before ? table_ : std::vector<RankStatus>();
}

std::string TcpLinks::death() {
  const std::lock_guard lock(mutex_);
  return death_;
}

void TcpLinks::set_names(const std::vector<std::string>& names) {
  const std::lock_guard lock(mutex_);
  names_ = names;
}

std::string TcpLinks::name(int64_t rank) {
  const std::lock_guard lock(mutex_);
  return names_.empty() ? fmt::format("rank {} of {}", rank, launch_.world) : names_[static_cast<size_t>(rank)];
}

std::vector<RankStatus> TcpLinks::own_table() const {
  std::vector<RankStatus> table;
  for (const Link& link : links_) {
    table.push_back(link.status);
    table.back().silent = silent(link) ? 1 : 0;
  }
  table[0] = own_;
  return table;
}

void TcpLinks::work() {
  // Signals are for the thread that trains.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  for (Clock::duration telling{};;) {
    std::vector<pollfd> watched;
    for (const Link& link : links_) {
      watched.push_back({.fd = link.lost ? -1 : link.socket.fd(), .events = POLLIN, .revents = 0});  // poll() skips -1
    }
    const Clock::time_point start = Clock::now();
    static_cast<void>(::poll(watched.data(), watched.size(), kLookMilliseconds));  // an interrupted one is repeated
    const Clock::duration passed = std::min<Clock::duration>(Clock::now() - start, kLongestLook) + telling;
    {
      const std::lock_guard lock(mutex_);
      for (size_t i = 0; i < links_.size(); ++i) {
        links_[i].quiet = watched[i].revents != 0 ? Clock::duration() : links_[i].quiet + passed;
      }
    }
    for (size_t i = 0; i < links_.size(); ++i) {
      if (watched[i].revents != 0) {
        read(links_[i]);
      }
    }
    {
      const std::lock_guard lock(mutex_);
      if (ends_) {
        return;
      }
    }
    changed_.notify_all();
    const Clock::time_point tells = Clock::now();
    tell();
    telling = Clock::now() - tells;
  }
}

bool TcpLinks::try_to_send(Link& link, FrameKind kind, std::string_view body) {
  const std::unique_lock lock(link.sending, std::try_to_lock);
  if (!lock.owns_lock()) {
    return false;
  }
  try {
    link.socket.send(frame(kind, body), deadline_in(kShortSeconds));
  } catch (const Error&) {  // then it learns by the end of the connection
  }
  return true;
}

void TcpLinks::tell() {
  for (Link& link : links_) {
    if (!link.socket.open() || link.lost) {
      continue;
    }
    std::unique_lock lock(mutex_);
    const RankStatus own = own_;
    const bool asks = link.asked;
    const bool tells = link.asks || asks || Clock::now() - link.told >= kTell;
    const bool answers = link.wants_table && all_known_since(*link.wants_table);
    std::string rows;
    for (const RankStatus& status : answers ? own_table() : std::vector<RankStatus>()) {
      rows += bytes_of(status);
    }
    lock.unlock();
    const bool told = tells && try_to_send(link, FrameKind::status, bytes_of(own));
    const bool asked = asks && told && try_to_send(link, FrameKind::question, "");
    const bool answered = answers && try_to_send(link, FrameKind::table, rows);
    lock.lock();
    link.asks = link.asks && !told;
    link.told = told ? Clock::now() : link.told;
    link.asked = link.asked && !asked;
    link.wants_table = answered ? std::nullopt : link.wants_table;
  }
}

void TcpLinks::read(Link& link) {
  try {
    while (std::optional<Frame> frame = link.reader.next(link.socket)) {
      handle(link, std::move(*frame));
    }
  } catch (const Error& error) {
    lose(link, error.what());
  }
}

void TcpLinks::handle(Link& link, Frame frame) {
  if (frame.kind == FrameKind::abort) {
    const int code = value_of<int>(frame.body);
    if (leads_) {
      send_to_all(FrameKind::abort, frame.body);
    }
    std::_Exit(code);
  }
  const std::lock_guard lock(mutex_);
  switch (frame.kind) {
    case FrameKind::value:
    case FrameKind::values: link.received.push_back(std::move(frame.body)); break;
    case FrameKind::status: {
      const RankEnd end = link.status.end;
      link.status = value_of<RankStatus>(frame.body);
      link.status.end = end;
      link.answered = Clock::now();
      break;
    }
    case FrameKind::question:
      link.asks = true;
      if (leads_) {  // the others answer first
        link.wants_table = Clock::now();
        ask_all();
      }
      break;
    case FrameKind::table:
      table_.resize(frame.body.size() / sizeof(RankStatus));
      std::memcpy(table_.data(), frame.body.data(), table_.size() * sizeof(RankStatus));
      ++tables_;
      break;
    case FrameKind::failure: death_ = death_.empty() ? frame.body : death_; break;
    case FrameKind::end: link.status.end = RankEnd::in_order; break;
    default: break;
  }
  changed_.notify_all();
}

void TcpLinks::lose(Link& link, const std::string& why) {
  const std::string who = name(rank_of(link));
  std::string death;
  {
    const std::lock_guard lock(mutex_);
    link.lost = true;
    link.socket.shut_down();
    if (link.status.end == RankEnd::none) {
      link.status.end = RankEnd::dead;
      death = fmt::format("{} has died: {}", who, why);
      death_ = death_.empty() ? death : death_;
    }
  }
  changed_.notify_all();
  if (leads_ && !death.empty()) {
    send_to_all(FrameKind::failure, death);
  }
}

}  // namespace residua
