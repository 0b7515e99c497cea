#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace residua {

/// "packing train: 12800 of 50000 images  25 %  930 img/s  ETA 0:40".
std::string format_work(const std::string& what, int64_t done, int64_t total, double images_per_second, double seconds_left);

/// Shows how far a pass over images is: a line that is redrawn in place on a terminal, elsewhere a line now and then.
class WorkProgress {
 public:
  /// `stream` must outlive this. `what` is the work: "packing train".
  WorkProgress(std::FILE* stream, std::string what, int64_t total);
  ~WorkProgress();
  WorkProgress(const WorkProgress&) = delete;
  WorkProgress& operator=(const WorkProgress&) = delete;

  /// The first call sets the start: images that were done before do not count for the speed.
  void advance(int64_t done);

 private:
  using Clock = std::chrono::steady_clock;

  std::FILE* stream_;
  const bool terminal_;
  const std::string what_;
  const int64_t total_;
  int64_t first_ = -1;
  Clock::time_point start_;
  Clock::time_point shown_;
  bool line_open_ = false;
};

}  // namespace residua
