#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace residua::bench {

/// The differences between two reports of kernel-bench.
struct Regressions {
  std::vector<std::string> slower;   // "Add 256x56x56x64 f16: 41.2 us, 39.0 us in the baseline (+5.6 %)"
  std::vector<std::string> unknown;  // rows that the baseline does not have
};

/// Finds the rows whose median is more than `threshold` (0.05: 5 %) above the baseline's. Fails if the baseline is not a
/// report, or is from another device or batch size.
Regressions compare(const nlohmann::json& report, const nlohmann::json& baseline, double threshold);

}  // namespace residua::bench
