#pragma once

#include <algorithm>
#include <cstdint>

namespace residua {

/// Finds the number of loader threads: starts with one, and doubles it each time that the caller has waited for data for more
/// than 3 % of half a second or longer.
class AutoWorkers {
 public:
  explicit AutoWorkers(int64_t most) : most_(most) {}

  /// Starts measuring again: the first batch of an epoch always has to be waited for.
  void restart() { started_ = false; }

  /// Call this after each batch. `now` is a time in seconds, `waited` what the caller has waited for this batch. Returns the
  /// number of workers to use from now on.
  int64_t after_batch(double now, double waited) {
    constexpr double kWindow = 0.5;
    constexpr double kShare = 0.03;
    if (!started_) {
      started_ = true;
      open_window(now);
      return workers_;
    }
    wait_ += waited;
    if (now - begin_ >= kWindow) {
      workers_ = wait_ > kShare * (now - begin_) ? std::min(2 * workers_, most_) : workers_;
      open_window(now);
    }
    return workers_;
  }

 private:
  void open_window(double now) {
    begin_ = now;
    wait_ = 0;
  }

  int64_t most_;
  int64_t workers_ = 1;
  bool started_ = false;
  double begin_ = 0;  // of the window
  double wait_ = 0;   // in the window
};

}  // namespace residua
