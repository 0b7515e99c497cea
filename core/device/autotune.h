#pragma once

namespace residua {

/// While an object of this class exists, its thread does not time plans for convolutions and matrix products. A shape without a
/// plan runs the first plan of the library's heuristic, and that plan is not cached. For shapes that occur only once.
class WithoutAutotune {
 public:
  WithoutAutotune();
  WithoutAutotune(const WithoutAutotune&) = delete;
  WithoutAutotune& operator=(const WithoutAutotune&) = delete;
  ~WithoutAutotune();
};

/// Whether plans may be timed: no WithoutAutotune exists in this thread.
bool autotune_allowed();

}  // namespace residua
