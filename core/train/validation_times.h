#pragma once

#include <cstdint>

namespace residua {

/// When a run validates: every `interval` iterations and after the last one.
struct ValidationTimes {
  int64_t interval;  // iterations; at least 1
  int64_t total;     // iterations of the run

  /// Whether to validate after `iteration` iterations.
  bool due(int64_t iteration) const { return iteration == total || (iteration > 0 && iteration % interval == 0); }
  /// Number of validations at `iteration` or later, 1 <= iteration <= total.
  int64_t left(int64_t iteration) const {
    return total / interval - (iteration - 1) / interval + (total % interval != 0 ? 1 : 0);
  }
};

}  // namespace residua
