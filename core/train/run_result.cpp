#include "core/train/run_result.h"

#include <filesystem>
#include <map>
#include <sstream>

#include "core/io/atomic_file.h"
#include "core/io/file_system.h"
#include "core/io/read_file.h"

namespace residua {
namespace {

using Json = nlohmann::ordered_json;

/// The records of a log by type, in log order.
std::map<std::string, std::vector<Json>> records_of(const std::string& log) {
  std::map<std::string, std::vector<Json>> records;
  std::vector<unsigned char> bytes;
  read_file(log, bytes);
  std::istringstream lines(std::string(bytes.begin(), bytes.end()));
  for (std::string line; std::getline(lines, line);) {
    Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object() && record.contains("type")) {
      records[record["type"]].push_back(std::move(record));
    }
  }
  return records;
}

Json selected(const Json& record, std::initializer_list<const char*> names) {
  Json part = Json::object();
  for (const char* name : names) {
    if (record.contains(name)) {
      part[name] = record[name];
    }
  }
  return part;
}

Json last_of(const std::vector<Json>& records) {
  return records.empty() ? Json() : selected(records.back(), {"images", "loss", "top1_error", "top5_error"});
}

Json curve_of(const std::vector<Json>& records) {
  Json curve = Json::array();
  for (const Json& record : records) {
    curve.push_back(selected(record, {"iteration", "loss", "top1_error", "top5_error"}));
    if (record.contains("lr")) {
      curve.back()["learning_rate"] = record["lr"];
    }
  }
  return curve;
}

Json best_of(const std::vector<Json>& validations) {
  const Json* best = nullptr;
  for (const Json& record : validations) {
    if (record["top1_error"].is_number() && (best == nullptr || record["top1_error"] < (*best)["top1_error"])) {
      best = &record;
    }
  }
  return best == nullptr ? Json() : selected(*best, {"iteration", "top1_error"});
}

/// Training time of the steps whose reports have a speed; counts whole batches.
double training_seconds(const std::vector<Json>& reports, int64_t batch_size) {
  double seconds = 0;
  int64_t before = 0;
  for (const Json& report : reports) {
    const int64_t iteration = report["iteration"];
    const Json& speed = report["images_per_second"];
    if (speed.is_number() && speed > 0.0) {
      seconds += static_cast<double>((iteration - before) * batch_size) / speed.get<double>();
    }
    before = iteration;
  }
  return seconds;
}

}  // namespace

nlohmann::ordered_json run_result(const RunDescription& description, const std::string& log, int64_t batch_size,
                                  bool diverged) {
  std::map<std::string, std::vector<Json>> records = records_of(log);
  const std::vector<Json>& reports = records["train"];
  const int64_t iteration = reports.empty() ? 0 : reports.back()["iteration"].get<int64_t>();
  const double seconds = training_seconds(reports, batch_size);
  Json result = to_json(description);
  result["diverged"] = diverged;
  result["seconds"] = seconds;
  result["images_per_second"] = seconds > 0 ? Json(static_cast<double>(iteration * batch_size) / seconds) : Json();
  result["final"] = {{"iteration", iteration},
                     {"running_train", last_of(reports)},
                     {"clean_train", last_of(records["clean_train"])},
                     {"validation", last_of(records["validation"])},
                     {"test", last_of(records["test"])}};
  result["best"] = best_of(records["validation"]);
  result["curves"] = {{"running_train", curve_of(reports)},
                      {"clean_train", curve_of(records["clean_train"])},
                      {"validation", curve_of(records["validation"])}};
  return result;
}

int train_with_result(Trainer& trainer, const RunFolder& folder, const RunDescription& description,
                      const volatile std::sig_atomic_t& stop) {
  const auto write = [&](bool diverged) {
    const int64_t batch_size = description.configuration.at("batch-size");
    const Json result = run_result(description, folder.file(kLogFile), batch_size, diverged);
    atomic_write(folder.file(kResultFile), result.dump(1) + "\n");
  };
  const std::string before = folder.file(kResultFile);  // from a shorter run, or one that diverged
  if (std::filesystem::exists(before) && file_system().remove(before) != 0) {
    fail("cannot remove {}", before);
  }
  atomic_write(folder.file(kRunFile), to_json(description).dump(1) + "\n");
  try {
    const int stopped = trainer.train(stop);
    if (stopped == 0) {
      write(false);
    }
    return stopped;
  } catch (const Diverged&) {
    write(true);
    throw;
  }
}

}  // namespace residua
