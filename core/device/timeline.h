#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace residua::profile {

/// What ran when on each thread of this process, for a picture of a few steps. Times are those of the host, so on a CUDA device
/// they say when work was queued.
class Timeline {
 public:
  using Clock = std::chrono::steady_clock;  // one clock for all processes of a machine

  Timeline() = default;
  ~Timeline() { stop(); }
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  /// From here to stop(), all threads record their spans. One timeline can do so at a time.
  void start() { active_ = this; }
  /// Call this while no span is open.
  void stop();
  /// The timeline that records, or null.
  static Timeline* active() { return active_.load(std::memory_order_relaxed); }

  /// Adds a span of the calling thread. Thread-safe.
  void add(std::string name, std::string about, Clock::time_point begin, Clock::time_point end);

  /// The spans in Chrome's trace format, as the elements of "traceEvents": {"name", "ph": "X", "ts" and "dur" in microseconds,
  /// "pid": `process`, "tid": a number for each thread in the order of their first spans, "args": {"about"}}.
  /// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
  nlohmann::json events(int64_t process) const;

 private:
  struct Event {
    std::string name, about;
    int64_t thread;
    Clock::time_point begin, end;
  };

  static std::atomic<Timeline*> active_;
  mutable std::mutex mutex_;
  std::vector<Event> events_;
};

/// Records the time from its construction to its end, if there is a timeline.
class Span {
 public:
  explicit Span(std::string name, std::string about = "")
      : timeline_(Timeline::active()), name_(std::move(name)), about_(std::move(about)), begin_(Timeline::Clock::now()) {}
  ~Span() {
    if (timeline_ != nullptr) {
      timeline_->add(std::move(name_), std::move(about_), begin_, Timeline::Clock::now());
    }
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  Timeline* timeline_;
  std::string name_, about_;
  Timeline::Clock::time_point begin_;
};

}  // namespace residua::profile
