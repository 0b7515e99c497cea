#pragma once

namespace residua {

/// While one exists, its thread gets no plan of a convolution or matrix product by timing: what has no plan yet runs by the
/// first one of the library's heuristic, which is not remembered as the best. For work of shapes that come once.
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
