#include "cuda/libraries/autotune.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/warning.h"

namespace residua::cuda {

std::vector<double> median_milliseconds(const std::vector<std::function<double()>>& timings_of) {
  constexpr int kTimings = 7;
  constexpr int kTimingsOfAll = 2;
  constexpr double kHopeless = 1.5;           // times the best, in both samples: noise cannot explain that
  constexpr double kWarmUpMilliseconds = 20;  // the clock of a device that idled while plans were built is slow
  constexpr int kMostWarmUps = 100;
  if (timings_of.empty()) {
    return {};
  }
  double busy = 0;
  for (int i = 0; i < kMostWarmUps && busy < kWarmUpMilliseconds; ++i) {
    busy += timings_of.front()();
  }
  std::vector<std::vector<double>> timings(timings_of.size());
  const auto least = [&](size_t k) { return *std::ranges::min_element(timings[k]); };
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kTimings; ++i) {
    for (size_t k = 0; k < timings_of.size(); ++k) {
      if (i < kTimingsOfAll || least(k) <= kHopeless * best) {
        timings[k].push_back(timings_of[k]());
        best = std::min(best, timings[k].back());
      }
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& of : timings) {
    std::ranges::sort(of);
    medians.push_back(std::isinf(of.back()) ? of.back() : of[of.size() / 2]);
  }
  return medians;
}

bool autotuned_or(bool otherwise, const std::string& key, const std::function<bool()>& tune) {
  try {
    return tune();
  } catch (const DeviceFault&) {
    throw;
  } catch (const Error& error) {
    warn("{} is not tuned: {}", key, error.what());
    return otherwise;
  }
}

}  // namespace residua::cuda
