#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace residua {

/// Finds the number of compute threads with which training steps are fastest, on a machine that other programs use too: each
/// step waits for a thread that shares its core, so that fewer threads can be faster.
///
/// Steps count in windows. After the first window, and after one that is slower than usual, it tries one thread fewer; from
/// time to time it tries one more. A trial that brings nothing ends after two steps, and makes later ones rarer.
class AutoThreads {
 public:
  /// Starts with `most` threads and never takes more.
  explicit AutoThreads(int64_t most) : most_(most), threads_(most) {}

  /// That steps are faster with another number of threads.
  struct Change {
    int64_t from, to;
    double seconds_before, seconds;  // of a step
  };

  /// Call this after each step, with its time. Returns what a trial has found, if that is a change.
  std::optional<Change> after_step(double seconds);

  /// The threads for the next step.
  int64_t threads() const { return threads_; }

 private:
  void end_window(double seconds);
  std::optional<Change> end_trial(double seconds, bool better);
  void start_trial(int64_t threads, double seconds);

  int64_t most_;
  int64_t threads_;
  std::vector<double> window_;  // of steps with as many threads
  bool settled_ = false;        // whether a step with this number has passed: the first one makes plans
  // Between trials.
  std::optional<double> usual_;  // the fastest window with this number of threads
  int64_t windows_ = 0;          // since the last trial
  int64_t pause_ = 0;            // windows between a trial that has failed and the next one
  // During a trial.
  int64_t before_ = 0;         // the threads to go back to; 0: no trial
  double before_seconds_ = 0;  // of a step with them
};

}  // namespace residua
