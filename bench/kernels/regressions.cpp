#include "bench/kernels/regressions.h"

#include <fmt/format.h>

#include <map>

#include "core/base/error.h"

namespace residua::bench {
namespace {

std::string row_name(const nlohmann::json& row) {
  return fmt::format("{} {} {}", row.at("kernel").get<std::string>(), row.at("shape").get<std::string>(),
                     row.at("type").get<std::string>());
}

}  // namespace

Regressions compare(const nlohmann::json& report, const nlohmann::json& baseline, double threshold) {
  Regressions result;
  try {
    for (const char* key : {"device", "batch"}) {
      if (report.at(key) != baseline.at(key)) {
        fail("the baseline is not comparable: its {} is {}, this one's is {}", key, baseline.at(key).dump(),
             report.at(key).dump());
      }
    }
    std::map<std::string, double> known;
    for (const nlohmann::json& row : baseline.at("rows")) {
      known[row_name(row)] = row.at("median_us").get<double>();
    }
    for (const nlohmann::json& row : report.at("rows")) {
      const std::string name = row_name(row);
      const auto before = known.find(name);
      if (before == known.end()) {
        result.unknown.push_back(name);
        continue;
      }
      const double now = row.at("median_us").get<double>();
      const double change = now / before->second - 1;
      if (!(change <= threshold)) {
        result.slower.push_back(
            fmt::format("{}: {:.1f} us, {:.1f} us in the baseline ({:+.1f} %)", name, now, before->second, 100 * change));
      }
    }
  } catch (const nlohmann::json::exception& error) {
    fail("the baseline is not a report of kernel-bench: {}", error.what());
  }
  return result;
}

}  // namespace residua::bench
