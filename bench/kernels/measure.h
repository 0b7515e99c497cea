#pragma once

#include <cstdint>
#include <optional>

#include "bench/kernels/kernel_case.h"

namespace residua::bench {

/// Time of one run of a piece of work, from rounds of many runs.
struct Timing {
  double median_s = 0;
  double fastest_s = 0;
  double slowest_s = 0;
  double bytes = 0;      // bytes of its operands
  int64_t launches = 0;  // kernel launches of this engine; 0 on the CPU device
};

/// Times work with the device's own clock and cold caches. Runs cycle through enough sets of operands that the last-level cache
/// is replaced four times before a set is used again. On a GPU a round lasts until 4 GB have been moved or 128 runs made.
class Stopwatch {
 public:
  /// Spends at least `seconds` on each piece of work. 0: a quick measurement of a few runs with warm caches.
  Stopwatch(Device device, double seconds) : Stopwatch(device, seconds, default_copy_bytes(device)) {}
  Stopwatch(Device device, double seconds, int64_t copy_bytes);

  Device device() const { return device_; }

  /// Returns nothing if the maker returns no work.
  std::optional<Timing> time(const Maker& make, DType dtype) const;
  /// Bytes read plus bytes written per second by a copy of `copy_bytes` within the device's memory.
  double copy_bytes_per_second() const;

 private:
  /// 1 GiB or, on the CPU device, 256 MiB.
  static int64_t default_copy_bytes(Device device);
  /// Queues work that takes the device longer than the host needs to queue `runs` runs.
  void keep_busy(double runs) const;

  Device device_;
  double seconds_;
  double cache_bytes_;
  Tensor source_, destination_;
};

}  // namespace residua::bench
