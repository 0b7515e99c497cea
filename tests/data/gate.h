#pragma once

#include <condition_variable>
#include <mutex>

namespace residua::test {

/// Where threads wait until the test lets them go, as a dead network drive lets them.
class Gate {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    ++passed_;
    changed_.notify_all();
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void until_waiting(int threads) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ >= threads; });
  }
  void until_passed(int threads) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return passed_ >= threads; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  int passed_ = 0;
  bool open_ = false;
};

}  // namespace residua::test
