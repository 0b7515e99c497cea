#pragma once

#include <atomic>
#include <cstdint>

namespace residua {

/// The image that a worker thread reads, so that other threads can name it, and can leave the thread behind if the read never
/// returns.
class ReadWatch {
 public:
  /// Thrown in a thread that has been left behind. It may then use nothing but what it owns.
  struct LeftBehind {};

  /// Calls `read` for an image. Throws LeftBehind, whatever `read` does, once leave_behind() has been called.
  template <class Read>
  void during(int64_t image, const Read& read) {
    change(kNone, image);
    try {
      read();
    } catch (...) {
      change(image, kNone);
      throw;
    }
    change(image, kNone);
  }

  /// The image that is being read; -1 if there is none.
  int64_t image() const {
    const int64_t image = image_;
    return image >= 0 ? image : -1;
  }

  /// Lets the worker read no further. Returns whether it is in a read, and so may never return.
  bool leave_behind() { return image_.exchange(kLeftBehind) >= 0; }

 private:
  static constexpr int64_t kNone = -1;
  static constexpr int64_t kLeftBehind = -2;

  void change(int64_t from, int64_t to) {
    if (!image_.compare_exchange_strong(from, to)) {
      throw LeftBehind();
    }
  }

  std::atomic<int64_t> image_ = kNone;
};

}  // namespace residua
