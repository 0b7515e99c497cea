#include "bench/step/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/device/device_api.h"

namespace residua::bench {

void print_profile(const profile::Recorder& recorder, int steps) {
  std::map<std::string, profile::Entry> by_kernel;
  double total = 0;
  for (const auto& [key, entry] : recorder.entries()) {
    by_kernel[key.second].calls += entry.calls;
    by_kernel[key.second].seconds += entry.seconds;
    total += entry.seconds;
  }
  const double scale = 1e3 / steps;
  std::vector<std::pair<std::string, profile::Entry>> rows(by_kernel.begin(), by_kernel.end());
  std::ranges::sort(rows, [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  fmt::print("{:<34}{:>8}{:>12}{:>8}\n", "kernel", "calls", "ms/step", "share");
  for (const auto& [kernel, entry] : rows) {
    fmt::print("{:<34}{:>8}{:>12.3f}{:>7.1f}%\n", kernel, entry.calls / steps, entry.seconds * scale,
               100 * entry.seconds / total);
  }
  fmt::print("\n{:<26}{:<34}{:>12}{:>8}\n", "layer", "kernel", "ms/step", "share");
  for (const auto& [key, entry] : recorder.entries()) {
    fmt::print("{:<26}{:<34}{:>12.3f}{:>7.1f}%\n", key.first, key.second, entry.seconds * scale, 100 * entry.seconds / total);
  }
}

void print_plans(Device device) {
  const std::vector<device_api::PlanChoice> choices = device_api::plan_choices(device);
  if (choices.empty()) {
    fmt::print("device {} does not time plans\n", device.string());
  }
  for (const device_api::PlanChoice& choice : choices) {
    fmt::print("{}\n", choice.work);
    std::vector<std::pair<std::string, double>> plans = choice.milliseconds;
    std::ranges::stable_sort(plans, {}, &std::pair<std::string, double>::second);
    for (const auto& [name, milliseconds] : plans) {
      fmt::print("  {} {:>9.4f} ms  {}\n", name == choice.chosen ? '*' : ' ', milliseconds, name);
    }
    if (!choice.rejection_reason.empty()) {
      fmt::print("  cannot be used: {}\n", choice.rejection_reason);
    }
  }
}

}  // namespace residua::bench
