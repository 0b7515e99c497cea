#include "core/distributed/tcp_links.h"

#include <poll.h>
#include <signal.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/distributed/tcp_rendezvous.h"

namespace residua {
namespace {

/// How often the thread looks whether it shall end, and how often it tells rank 0 how far this rank is.
constexpr int kLookMilliseconds = 50;
constexpr std::chrono::milliseconds kTell{500};
/// How long small frames and answers may take.
constexpr double kShortSeconds = 1, kAnswerSeconds = 3;

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
    : launch_(launch), leads_(launch.rank == 0), links_(leads_ ? static_cast<size_t>(launch.world) : 1) {
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
  std::deque<std::string>& received = link(rank).received;
  while (received.empty()) {
    if (!death_.empty() || link(rank).status.end != RankEnd::none || Clock::now() >= deadline) {
      return false;
    }
    changed_.wait_for(lock, std::chrono::milliseconds(kLookMilliseconds));
  }
  body = std::move(received.front());
  received.pop_front();
  return true;
}

void TcpLinks::count_gather() {
  const std::lock_guard lock(mutex_);
  ++own_.gathers;
}

void TcpLinks::set_calls(int64_t calls) {
  const std::lock_guard lock(mutex_);
  own_.calls = calls;
}

std::vector<RankStatus> TcpLinks::table() {
  if (leads_) {
    return own_table();
  }
  std::unique_lock lock(mutex_);
  const int64_t before = tables_;
  if (links_[0].status.end != RankEnd::none) {
    return {links_[0].status};
  }
  lock.unlock();
  try {
    send(0, FrameKind::status, own_status(), deadline_in(kShortSeconds));
    send(0, FrameKind::question, "", deadline_in(kShortSeconds));
  } catch (const Error&) {
    return {};
  }
  lock.lock();
  const bool answered =
      changed_.wait_until(lock, deadline_in(kAnswerSeconds), [&] { return tables_ > before || !death_.empty(); });
  return answered && tables_ > before ? table_ : std::vector<RankStatus>();
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

std::string TcpLinks::own_status() {
  const std::lock_guard lock(mutex_);
  return std::string(bytes_of(own_));
}

std::vector<RankStatus> TcpLinks::own_table() {
  const std::lock_guard lock(mutex_);
  std::vector<RankStatus> table;
  for (const Link& link : links_) {
    RankStatus& status = table.emplace_back(link.status);
    status.silent_milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - link.heard).count();
  }
  table[0] = own_;
  return table;
}

void TcpLinks::work() {
  // Signals are for the thread that trains.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  Clock::time_point told = Clock::now() - kTell;
  for (;;) {
    std::vector<pollfd> watched;
    for (const Link& link : links_) {
      watched.push_back({.fd = link.lost ? -1 : link.socket.fd(), .events = POLLIN, .revents = 0});  // poll() skips -1
    }
    static_cast<void>(::poll(watched.data(), watched.size(), kLookMilliseconds));  // an interrupted one is repeated
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
    if (!leads_ && Clock::now() - told >= kTell) {
      told = Clock::now();
      send_to_all(FrameKind::status, own_status());
    }
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
  if (frame.kind == FrameKind::question) {
    std::string rows;
    for (const RankStatus& status : own_table()) {
      rows += bytes_of(status);
    }
    send(rank_of(link), FrameKind::table, rows, deadline_in(kShortSeconds));
    return;
  }
  if (frame.kind == FrameKind::abort) {
    const int code = value_of<int>(frame.body);
    if (leads_) {
      send_to_all(FrameKind::abort, frame.body);
    }
    std::_Exit(code);
  }
  const std::lock_guard lock(mutex_);
  link.heard = Clock::now();
  switch (frame.kind) {
    case FrameKind::value:
    case FrameKind::values: link.received.push_back(std::move(frame.body)); break;
    case FrameKind::status: {
      const RankEnd end = link.status.end;
      link.status = value_of<RankStatus>(frame.body);
      link.status.end = end;
      break;
    }
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
