#pragma once

#include <algorithm>
#include <cstdint>

namespace residua {

/// Finds the number of loader threads: starts with one, and doubles it each time that the caller has waited for data for more
/// than 3 % of half a second or longer. Short epochs add up to such a time.
class AutoWorkers {
 public:
  explicit AutoWorkers(int64_t most) : most_(most) {}

  /// Call this at the start of an epoch. The time until its first batch does not count: that batch always has to be waited for.
  void restart() { started_ = false; }

  /// Call this after each batch. `now` is a time in seconds, `waited` what the caller has waited for this batch. Returns the
  /// number of workers to use from now on.
  int64_t after_batch(double now, double waited) {
    constexpr double kWindow = 0.5;
    constexpr double kShare = 0.03;
    if (started_) {
      time_ += now - last_;
      wait_ += waited;
    }
    started_ = true;
    last_ = now;
    if (time_ >= kWindow) {
      workers_ = wait_ > kShare * time_ ? std::min(2 * workers_, most_) : workers_;
      time_ = wait_ = 0;
    }
    return workers_;
  }

 private:
  int64_t most_;
  int64_t workers_ = 1;
  bool started_ = false;
  double last_ = 0;  // the time of the last batch of this epoch
  double time_ = 0;  // measured since the last decision
  double wait_ = 0;  // of it
};

}  // namespace residua
