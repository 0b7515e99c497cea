#pragma once

#include <vector>

namespace residua::bench {

/// A time that was measured for a size.
struct SizeTime {
  double bytes, seconds;
};

/// t = latency + bytes / speed.
struct LineFit {
  double latency_s = 0;
  double bytes_per_second = 0;  // infinite if larger sizes do not take longer
  double worst_error = 0;       // the largest |fit - t| / t of a size

  double seconds(double bytes) const { return latency_s + bytes / bytes_per_second; }
};

/// The line with the least sum of squared relative errors, so that small sizes count as much as large ones. Neither the latency
/// nor the time of a byte is negative. Throws Error with fewer than two sizes.
LineFit fit_line(const std::vector<SizeTime>& times);

}  // namespace residua::bench
