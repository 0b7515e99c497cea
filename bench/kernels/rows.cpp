#include "bench/kernels/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/device/device_api.h"

namespace residua::bench {
namespace {

/// The plan choices made after the first `before` ones.
nlohmann::json plans_since(size_t before, Device device) {
  nlohmann::json plans = nlohmann::json::array();
  const std::vector<device_api::PlanChoice> choices = device_api::plan_choices(device);
  for (const device_api::PlanChoice& choice : std::span(choices).subspan(before)) {
    plans.push_back({{"work", choice.work}, {"chosen", choice.chosen}, {"milliseconds", choice.milliseconds}});
    if (!choice.rejection_reason.empty()) {
      plans.back()["refusal"] = choice.rejection_reason;
    }
  }
  return plans;
}

/// Measures a case, prints its row of the table, and returns its row of the report.
nlohmann::json measure(const KernelCase& c, DType dtype, const Stopwatch& stopwatch, double copy_bytes_per_second) {
  const size_t choices_before = device_api::plan_choices(stopwatch.device()).size();
  const Timing own = stopwatch.time(c.own, dtype).value();
  const auto unfused = stopwatch.time(c.unfused, dtype);
  const auto cudnn = stopwatch.time(c.cudnn, dtype);
  const double bytes_per_second = own.bytes / own.median_s;
  const double share = bytes_per_second / copy_bytes_per_second;
  const auto times_as_long = [&](const std::optional<Timing>& other) {
    return other ? fmt::format("{:.2f}", other->median_s / own.median_s) : "";
  };
  fmt::print("{:<34}{:<40}{:<5}{:>10.1f}{:>9.1f}{:>8.1f}{:>9}{:>9}{:>8}\n", c.kernel, c.shape, name(dtype), own.median_s * 1e6,
             bytes_per_second * 1e-9, 100 * share, c.flops > 0 ? fmt::format("{:.2f}", c.flops / own.median_s * 1e-12) : "",
             times_as_long(unfused), times_as_long(cudnn));
  std::cout.flush();
  nlohmann::json row = {{"kernel", c.kernel},
                        {"shape", c.shape},
                        {"type", name(dtype)},
                        {"median_us", own.median_s * 1e6},
                        {"fastest_us", own.fastest_s * 1e6},
                        {"slowest_us", own.slowest_s * 1e6},
                        {"bytes", own.bytes},
                        {"launches", own.launches},
                        {"gigabytes_per_second", bytes_per_second * 1e-9},
                        {"share_of_copy", share}};
  if (c.flops > 0) {
    row["teraflops_per_second"] = c.flops / own.median_s * 1e-12;
  }
  if (nlohmann::json plans = plans_since(choices_before, stopwatch.device()); !plans.empty()) {
    row["plans"] = std::move(plans);
  }
  if (unfused) {
    row["unfused_median_us"] = unfused->median_s * 1e6;
  }
  if (cudnn) {
    row["cudnn_median_us"] = cudnn->median_s * 1e6;
  }
  return row;
}

}  // namespace

int measure_all(const std::vector<KernelCase>& cases, const std::vector<DType>& types, const Stopwatch& stopwatch, double copy,
                const std::function<void()>& save, nlohmann::json& report) {
  fmt::print("{:<34}{:<40}{:<5}{:>10}{:>9}{:>8}{:>9}{:>9}{:>8}\n", "kernel", "shape", "type", "us", "GB/s", "% copy", "TFLOP/s",
             "unfused", "cuDNN");
  int failed = 0;
  for (const KernelCase& c : cases) {
    for (const DType dtype : types) {
      if (std::ranges::find(c.dtypes, dtype) == c.dtypes.end()) {
        continue;
      }
      try {
        report["rows"].push_back(measure(c, dtype, stopwatch, copy));
      } catch (const DeviceFault&) {
        throw;
      } catch (const Error& error) {
        ++failed;
        fmt::print("{:<34}{:<40}{:<5} failed: {}\n", c.kernel, c.shape, name(dtype), error.what());
        report["failures"].push_back(
            {{"kernel", c.kernel}, {"shape", c.shape}, {"type", name(dtype)}, {"message", error.what()}});
      }
      save();
    }
  }
  return failed;
}

}  // namespace residua::bench
