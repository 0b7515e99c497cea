#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

#include "core/train/run_observer.h"

namespace residua {

/// Draws a run's curves.png and curves.svg with tools/plot-curves.
class Curves {
 public:
  /// The first drawing in the background starts no earlier than `interval` from now.
  explicit Curves(std::string folder, std::chrono::seconds interval = std::chrono::minutes(1));
  /// Ends a drawing that is under way.
  ~Curves();
  Curves(const Curves&) = delete;
  Curves& operator=(const Curves&) = delete;

  /// Starts a drawing at the lowest priority, unless one is under way, or started less than the interval ago, or the last one
  /// took more than 3 % of the processor time since. A failure goes unnoticed.
  void draw_in_background();
  /// Waits for the drawing that is under way.
  void finish();
  /// Draws. If the script or matplotlib is missing, the run still succeeds, and the observer gets a note on how to draw them.
  void draw(RunObserver& observer);

 private:
  /// Whether no drawing is under way; notes what the last one took.
  bool idle(int options);

  const std::string folder_;
  const std::string script_;
  const std::chrono::seconds interval_;
  std::chrono::steady_clock::time_point last_start_ = std::chrono::steady_clock::now();
  double last_seconds_ = 0;  // processor time
  pid_t child_ = 0;          // 0: none
};

/// Writes a run's report.html with tools/report, which shows curves.svg. A failure is a note, as in Curves::draw.
void write_report(const std::string& folder, RunObserver& observer);

}  // namespace residua
