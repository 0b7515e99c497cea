#include "cuda/vendor/choose.h"

#include <algorithm>

namespace residua::cuda {

std::vector<double> median_milliseconds(const Clock& clock, const std::vector<std::function<void()>>& works) {
  constexpr int kTimings = 7;
  constexpr double kHopeless = 1.5;           // times the best: no noise makes up for that
  constexpr double kWarmUpMilliseconds = 20;  // a device that idled, while plans were built, has a slow clock
  constexpr int kMostWarmUps = 100;
  if (works.empty()) {
    return {};
  }
  double busy = 0;
  for (int i = 0; i < kMostWarmUps && busy < kWarmUpMilliseconds; ++i) {
    busy += clock(works.front());
  }
  std::vector<std::vector<double>> timings;
  for (const auto& work : works) {
    timings.push_back({clock(work)});
  }
  double best = timings.front().front();
  for (const std::vector<double>& of : timings) {
    best = std::min(best, of.front());
  }
  for (int i = 1; i < kTimings; ++i) {
    for (size_t k = 0; k < works.size(); ++k) {
      if (timings[k].front() <= kHopeless * best) {
        timings[k].push_back(clock(works[k]));
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
