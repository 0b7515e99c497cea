#include "bench/ranks/line_fit.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace residua::bench {

LineFit fit_line(const std::vector<SizeTime>& times) {
  if (times.size() < 2) {
    fail("a line needs the times of two sizes or more, got {}", times.size());
  }
  // With u = 1 / t and v = bytes / t, the relative errors are those of latency * u + seconds_per_byte * v against 1.
  double uu = 0, uv = 0, vv = 0, u_sum = 0, v_sum = 0;
  for (const SizeTime& time : times) {
    const double u = 1 / time.seconds;
    const double v = time.bytes / time.seconds;
    uu += u * u;
    uv += u * v;
    vv += v * v;
    u_sum += u;
    v_sum += v;
  }
  const double determinant = uu * vv - uv * uv;
  double latency = determinant > 0 ? (u_sum * vv - v_sum * uv) / determinant : 0;
  double per_byte = determinant > 0 ? (v_sum * uu - u_sum * uv) / determinant : v_sum / vv;
  if (latency < 0) {
    latency = 0;
    per_byte = v_sum / vv;
  } else if (per_byte < 0) {
    per_byte = 0;
    latency = u_sum / uu;
  }
  LineFit fit{.latency_s = latency, .bytes_per_second = 1 / per_byte};
  for (const SizeTime& time : times) {
    fit.worst_error = std::max(fit.worst_error, std::abs(fit.seconds(time.bytes) - time.seconds) / time.seconds);
  }
  return fit;
}

}  // namespace residua::bench
