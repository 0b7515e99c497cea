#include "cuda/libraries/choose.h"

#include <algorithm>
#include <limits>

namespace residua::cuda {

std::vector<double> median_milliseconds(const Clock& clock, const std::vector<std::function<void()>>& works) {
  constexpr int kTimings = 7;
  constexpr int kTimingsOfAll = 2;
  constexpr double kHopeless = 1.5;           // times the best, twice: no noise makes up for that
  constexpr double kWarmUpMilliseconds = 20;  // a device that idled, while plans were built, has a slow clock
  constexpr int kMostWarmUps = 100;
  if (works.empty()) {
    return {};
  }
  double busy = 0;
  for (int i = 0; i < kMostWarmUps && busy < kWarmUpMilliseconds; ++i) {
    busy += clock(works.front());
  }
  std::vector<std::vector<double>> timings(works.size());
  const auto least = [&](size_t k) { return *std::ranges::min_element(timings[k]); };
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kTimings; ++i) {
    for (size_t k = 0; k < works.size(); ++k) {
      if (i < kTimingsOfAll || least(k) <= kHopeless * best) {
        timings[k].push_back(clock(works[k]));
        best = std::min(best, timings[k].back());
      }
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& of : timings) {
    std::ranges::sort(of);
    medians.push_back(of[of.size() / 2]);
  }
  return medians;
}

}  // namespace residua::cuda
