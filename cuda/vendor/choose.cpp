#include "cuda/vendor/choose.h"

#include <algorithm>

namespace residua::cuda {

double median_milliseconds(const Clock& clock, const std::function<void()>& work, double best) {
  constexpr int kTimings = 7;
  constexpr double kHopeless = 1.5;  // times the best: no noise makes up for that
  std::vector<double> all;
  for (int i = 0; i < kTimings; ++i) {
    all.push_back(clock(work));
    if (i == 0 && all.front() > kHopeless * best) {
      return all.front();
    }
  }
  std::ranges::sort(all);
  return all[all.size() / 2];
}

}  // namespace residua::cuda
