#include "core/run/event_log.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/warning.h"
#include "core/io/atomic_file.h"

namespace residua {
namespace {

/// Replaces NaN and infinities, which JSON lacks, with their names.
void name_non_finite(nlohmann::ordered_json& value) {
  if (value.is_structured()) {
    for (nlohmann::ordered_json& item : value) {
      name_non_finite(item);
    }
  } else if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    const double number = value.get<double>();
    value = std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
  }
}

/// Whether a line of the log is a complete record of an event up to `position`.
bool is_kept(const std::string& line, const LogPosition& position) {
  const nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object()) {
    return false;
  }
  const auto at = record.find("iteration");
  const nlohmann::json type = record.value("type", nlohmann::json());
  const int64_t last = type == "validation" || type == "clean_train" ? position.validated
                       : type == "test"                              ? position.tested
                                                                     : position.iteration;
  return at == record.end() || (at->is_number() && at->get<double>() <= static_cast<double>(last));
}

}  // namespace

EventLog EventLog::create(const std::string& path) {
  atomic_write(path, "");
  return EventLog(path);
}

EventLog EventLog::resume(const std::string& path, const LogPosition& position) {
  if (!std::filesystem::exists(path)) {
    return create(path);
  }
  std::ifstream file(path, std::ios::binary);
  std::string kept;
  int64_t dropped = 0;
  for (std::string line; std::getline(file, line);) {
    const bool whole = !file.eof();  // the last line of a killed run may be incomplete
    if (whole && is_kept(line, position)) {
      kept += line + '\n';
    } else {
      ++dropped;
    }
  }
  if (file.bad() || !file.eof()) {
    fail("cannot read {}", path);
  }
  if (dropped > 0) {
    warn("{}: dropped {} records that are damaged or later than iteration {}", path, dropped, position.iteration);
    atomic_write(path, kept);
  }
  return EventLog(path);
}

void EventLog::write(const TrainRecord& record) {
  write(nlohmann::ordered_json{{"type", "train"},
                               {"iteration", record.iteration},
                               {"epoch", record.epoch},
                               {"loss", record.loss},
                               {"top1_error", record.top1_error},
                               {"top5_error", record.top5_error},
                               {"lr", record.lr},
                               {"images_per_second", record.images_per_second},
                               {"data_wait", record.data_wait},
                               {"seconds", record.seconds}});
}

void EventLog::write(const EvaluationRecord& record) {
  write(nlohmann::ordered_json{{"type", record.type},
                               {"iteration", record.iteration},
                               {"epoch", record.epoch},
                               {"images", record.images},
                               {"loss", record.loss},
                               {"top1_error", record.top1_error},
                               {"top5_error", record.top5_error},
                               {"seconds", record.seconds}});
}

void EventLog::write(const nlohmann::ordered_json& record) {
  nlohmann::ordered_json finite = record;
  name_non_finite(finite);
  // A record may contain a file name that is not UTF-8: replace invalid bytes instead of failing.
  file_.append(finite.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n');
}

}  // namespace residua
