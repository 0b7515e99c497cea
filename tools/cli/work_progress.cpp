#include "tools/cli/work_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "tools/cli/progress.h"

namespace residua {

std::string format_work(const std::string& what, int64_t done, int64_t total, double images_per_second, double seconds_left) {
  return fmt::format("{}: {} of {} images  {:.0f} %  {:.0f} img/s  ETA {}", what, done, total,
                     100.0 * static_cast<double>(done) / static_cast<double>(total), images_per_second,
                     format_duration(seconds_left));
}

WorkProgress::WorkProgress(std::FILE* stream, std::string what, int64_t total)
    : stream_(stream), terminal_(::isatty(::fileno(stream)) == 1), what_(std::move(what)), total_(total) {}

WorkProgress::~WorkProgress() {
  if (line_open_) {
    fmt::print(stream_, "\n");
  }
}

void WorkProgress::advance(int64_t done) {
  const Clock::time_point now = Clock::now();
  if (first_ < 0) {
    first_ = done;
    start_ = shown_ = now;
    return;
  }
  const std::chrono::duration<double> pause(terminal_ ? 0.5 : 10);
  if (now - shown_ < pause && done < total_) {
    return;
  }
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double speed = static_cast<double>(done - first_) / seconds;
  const std::string line = format_work(what_, done, total_, speed, static_cast<double>(total_ - done) / speed);
  fmt::print(stream_, "{}{}{}", terminal_ ? "\r\033[K" : "", line, terminal_ ? "" : "\n");
  std::fflush(stream_);
  line_open_ = terminal_;
}

}  // namespace residua
