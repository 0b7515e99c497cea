#include "core/train/auto_threads.h"

#include <algorithm>
#include <utility>

namespace residua {
namespace {

constexpr size_t kWindow = 6;     // steps
constexpr size_t kFewest = 2;     // steps after which a trial can have failed
constexpr double kBetter = 0.95;  // a trial's step takes at most this much of the time before
constexpr double kSlower = 1.2;   // a window that is not as usual
constexpr int64_t kPause = 8;     // windows after the first trial that fails; doubled after each
constexpr int64_t kMostPause = 128;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace

std::optional<AutoThreads::Change> AutoThreads::after_step(double seconds) {
  if (most_ == 1) {
    return {};
  }
  if (!settled_) {
    settled_ = true;
    return {};
  }
  window_.push_back(seconds);
  if (before_ != 0) {
    const bool fails = window_.size() >= kFewest && std::ranges::min(window_) > kBetter * before_seconds_;
    if (fails || window_.size() == kWindow) {
      const double middle = median(window_);
      return end_trial(middle, !fails && middle <= kBetter * before_seconds_);
    }
  } else if (window_.size() == kWindow) {
    end_window(median(window_));
  }
  return {};
}

void AutoThreads::end_window(double seconds) {
  window_.clear();
  ++windows_;
  const bool first = !usual_;
  const bool slower = !first && seconds > kSlower * *usual_;
  usual_ = first || slower ? seconds : std::min(*usual_, seconds);
  const bool waited = windows_ > pause_;
  if (threads_ > 1 && (slower || first)) {
    start_trial(threads_ - 1, seconds);
  } else if (threads_ < most_ && waited) {
    start_trial(threads_ + 1, seconds);
  }
}

void AutoThreads::start_trial(int64_t threads, double seconds) {
  before_ = threads_;
  before_seconds_ = seconds;
  threads_ = threads;
  settled_ = false;
}

std::optional<AutoThreads::Change> AutoThreads::end_trial(double seconds, bool better) {
  window_.clear();
  windows_ = 0;
  const int64_t from = std::exchange(before_, 0);
  if (!better) {
    threads_ = from;
    settled_ = false;
    pause_ = std::min(std::max(kPause, 2 * pause_), kMostPause);
    return {};
  }
  pause_ = kPause;
  usual_ = threads_ > from ? std::optional(seconds) : std::nullopt;  // one thread fewer still may be even faster
  return Change{.from = from, .to = threads_, .seconds_before = before_seconds_, .seconds = seconds};
}

}  // namespace residua
