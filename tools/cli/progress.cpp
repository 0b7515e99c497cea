#include "tools/cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/base/printable.h"

namespace residua {
namespace {

constexpr const char* kEraseLine = "\r\033[K";

int columns_of(std::FILE* stream) {
  constexpr int kUsual = 80;
  winsize size{};
  return ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsual;
}

}  // namespace

std::string format_duration(double seconds) {
  constexpr double kMostSeconds = 1e10;
  if (!(seconds >= 0 && seconds < kMostSeconds)) {
    return "?";
  }
  const int64_t total = std::llround(seconds);
  const int64_t days = total / 86400;
  const int64_t hours = total / 3600 % 24;
  const int64_t minutes = total / 60 % 60;
  if (days > 0) {
    return fmt::format("{} d {:02}:{:02}", days, hours, minutes);
  }
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60) : fmt::format("{}:{:02}", minutes, total % 60);
}

std::string format_train(const TrainRecord& record, int64_t total_iterations, double seconds_left) {
  return fmt::format(
      "epoch {:.2f}  iter {}/{}  loss {:.4f}  error {:.2f} % (top-5 {:.2f} %)  {:.{}f} img/s  wait {:.0f} %  lr {:.3g}  ETA {}",
      record.epoch, record.iteration, total_iterations, record.loss, record.top1_error, record.top5_error,
      record.images_per_second, record.images_per_second < 100 ? 1 : 0, 100 * record.data_wait, record.lr,
      format_duration(seconds_left));
}

std::string format_evaluation(const EvaluationRecord& record) {
  const char* what = record.type == "clean_train" ? "clean training images" : record.type.c_str();
  return fmt::format("epoch {:.2f}  iter {}  {}  loss {:.4f}  error {:.2f} % (top-5 {:.2f} %)", record.epoch, record.iteration,
                     what, record.loss, record.top1_error, record.top5_error);
}

std::string format_bar(const TrainRecord& record, int64_t total_iterations, double seconds_left, int columns) {
  constexpr int kBarCells = 20;
  const double share = total_iterations > 0
                           ? std::clamp(static_cast<double>(record.iteration) / static_cast<double>(total_iterations), 0.0, 1.0)
                           : 0.0;
  const int filled = static_cast<int>(share * kBarCells);
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled < kBarCells) {
    bar += '>';
  }
  const std::string line = format_train(record, total_iterations, seconds_left);
  const std::string with_bar = fmt::format("[{:<{}}] {}", bar, kBarCells, line);
  const std::string brief =
      fmt::format("{:.0f} % loss {:.4f} error {:.2f} % {:.{}f} img/s wait {:.0f} % lr {:.3g} ETA {}", 100 * share, record.loss,
                  record.top1_error, record.images_per_second, record.images_per_second < 100 ? 1 : 0, 100 * record.data_wait,
                  record.lr, format_duration(seconds_left));
  const auto width = static_cast<size_t>(std::max(columns, 0));
  for (const std::string* text : {&with_bar, &line}) {
    if (text->size() <= width) {
      return *text;
    }
  }
  return brief.substr(0, width);
}

std::string format_pass(const std::string& what, int64_t before, int64_t done, int64_t total, double seconds) {
  const double speed = static_cast<double>(done - before) / seconds;
  return fmt::format("{}  {}/{}  {:.0f} img/s  ETA {}", what, done, total, speed,
                     format_duration(static_cast<double>(total - done) / speed));
}

Progress::Progress(std::FILE* stream) : stream_(stream), terminal_(stream != nullptr && ::isatty(::fileno(stream)) == 1) {}

Progress::~Progress() {
  if (!bar_.empty()) {
    fmt::print(stream_, "\n");
  }
}

void Progress::trained(const TrainRecord& record, int64_t total_iterations, double seconds_left) {
  if (!terminal_) {
    note(format_train(record, total_iterations, seconds_left));
    return;
  }
  draw(format_bar(record, total_iterations, seconds_left, columns_of(stream_) - 1));
}

void Progress::draw(std::string bar) {
  bar_ = std::move(bar);
  fmt::print(stream_, "{}{}", kEraseLine, bar_);
  std::fflush(stream_);
}

std::function<void(int64_t done, int64_t total)> Progress::pass(std::string what) {
  using Clock = std::chrono::steady_clock;
  const std::chrono::seconds interval(terminal_ ? 1 : 10);
  return [this, what = std::move(what), interval, before = int64_t{-1}, start = Clock::time_point(),
          next = Clock::time_point()](int64_t done, int64_t total) mutable {
    const Clock::time_point now = Clock::now();
    if (before < 0) {
      before = done;
      start = now;
      next = now + interval;
    }
    if (done == total && terminal_ && !bar_.empty()) {
      draw("");
    }
    if (done == total || now < next) {
      return;
    }
    next = now + interval;
    const std::string line = format_pass(what, before, done, total, std::chrono::duration<double>(now - start).count());
    if (terminal_) {
      draw(line.substr(0, static_cast<size_t>(columns_of(stream_) - 1)));
    } else {
      note(line);
    }
  };
}

void Progress::note(const std::string& text) {
  if (stream_ == nullptr) {
    return;
  }
  fmt::print(stream_, "{}{}\n{}", bar_.empty() ? "" : kEraseLine, printable(text), bar_);
  std::fflush(stream_);
}

void Progress::notes(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    note("note: " + text);
  }
}

}  // namespace residua
