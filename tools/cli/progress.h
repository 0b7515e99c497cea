#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "core/train/run_observer.h"

namespace residua {

/// "epoch 3.20  iter 1250/5000  loss 1.2345  error 45.12 % (top-5 12.30 %)  2900 img/s  wait 1 %  lr 0.1  ETA 1:02:03".
/// Loss and errors are means over the images since the last line; `wait` is the share of time spent waiting for data.
std::string format_train(const TrainRecord& record, int64_t total_iterations, double seconds_left);

/// "epoch 4.00  iter 1560/5000  validation  loss 1.1002  error 40.30 % (top-5 3.90 %)", without the total.
std::string format_evaluation(const EvaluationRecord& record);

/// The longest of these that fits into `columns` characters: a progress bar and the line of format_train(); the line alone; or,
/// truncated if necessary, "25 % loss 1.2345 error 45.12 % 2900 img/s wait 1 % lr 0.1 ETA 1:02:03".
std::string format_bar(const TrainRecord& record, int64_t total_iterations, double seconds_left, int columns);

/// "measuring the training images  12000/1281167  1020 img/s  ETA 20:44". Of the `done` images, `before` were done before the
/// `seconds`.
std::string format_pass(const std::string& what, int64_t before, int64_t done, int64_t total, double seconds);

/// "0:07", "12:34", "1:02:03", "3 d 04:05"; "?" when not finite.
std::string format_duration(double seconds);

/// Prints a run's progress. On a terminal, a line with a progress bar is redrawn in place, below validations and notes;
/// elsewhere each report is a line.
class Progress final : public RunObserver {
 public:
  /// `stream` must outlive this. Null prints nothing.
  explicit Progress(std::FILE* stream);
  ~Progress() override;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void trained(const TrainRecord& record, int64_t total_iterations, double seconds_left) override;
  void evaluated(const EvaluationRecord& record) override { note(format_evaluation(record)); }
  /// Prints a line that stays.
  void note(const std::string& text) override;
  void notes(const std::vector<std::string>& texts);
  /// Returns a function that shows how many images of a pass over a data set are done: "measuring the training images". The
  /// images of the first call were done before: they do not count for the speed. It prints nothing about a pass that ends
  /// within seconds. This object must outlive it.
  std::function<void(int64_t done, int64_t total)> pass(std::string what);

 private:
  void draw(std::string bar);

  std::FILE* stream_;
  bool terminal_;
  std::string bar_;  // the terminal's last line
};

}  // namespace residua
