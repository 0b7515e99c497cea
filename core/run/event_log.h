#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/io/append_file.h"

namespace residua {

/// Means over the training steps since the last record.
struct TrainRecord {
  int64_t iteration = 0;  // steps done since the start of the run
  double epoch = 0;       // epochs done, with a fraction
  double loss = 0;
  double top1_error = 0;  // %
  double top5_error = 0;  // %
  double lr = 0;
  double images_per_second = 0;
  double data_wait = 0;  // share of the time spent waiting for data, 0 to 1
  double seconds = 0;    // duration of these steps, with the waiting
};

/// One evaluation of a set of images.
struct EvaluationRecord {
  std::string type;  // "validation", "clean_train" or "test"
  int64_t iteration = 0;
  double epoch = 0;
  int64_t images = 0;
  double loss = 0;
  double top1_error = 0;  // %
  double top5_error = 0;  // %
  double seconds = 0;     // its duration
};

/// How far a run has come that continues its log.
struct LogPosition {
  int64_t iteration = 0;
  int64_t validated = 0;  // iteration of the last validation
  int64_t tested = 0;     // iteration of the test
};

/// `log.jsonl`, the record of a run: one JSON object per line, in the order of events, each written as it happens.
///
///   {"type":"train","iteration":50,"epoch":0.1,"loss":1.9,"top1_error":71.2,"top5_error":20.5,"lr":0.1,
///    "images_per_second":2900.0,"data_wait":0.01,"seconds":2.2}
///   {"type":"validation","iteration":500,"epoch":1.0,"images":10000,"loss":1.1,"top1_error":40.3,"top5_error":3.9,
///    "seconds":1.5}
///
/// There may be other types; readers skip the ones they do not know. JSON has no NaN or infinity: they are written as the
/// strings "NaN", "Infinity" and "-Infinity", which Python's float() accepts. A killed run can leave an incomplete last line;
/// readers ignore it, and resume() removes it.
/// Every member throws Error, which names the file and the system's reason.
class EventLog {
 public:
  /// Starts a new log; overwrites any file at `path`.
  static EventLog create(const std::string& path);
  /// Continues a log: keeps complete records up to the position, and drops later ones, which the run will repeat. Warns about
  /// dropped records. Starts a new log if there is no file.
  static EventLog resume(const std::string& path, const LogPosition& position);

  void write(const TrainRecord& record);
  void write(const EvaluationRecord& record);
  /// Writes any other record: an object with a "type" and, if it belongs to a step, an "iteration".
  void write(const nlohmann::ordered_json& record);
  /// Writes the records that failed to be written.
  void flush() { file_.flush(); }

 private:
  explicit EventLog(const std::string& path) : file_(path) {}

  AppendFile file_;
};

}  // namespace residua
