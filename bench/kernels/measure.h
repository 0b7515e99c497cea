#pragma once

#include <cstdint>
#include <optional>

#include "bench/kernels/kernel_case.h"

namespace residua::bench {

/// Of one run of a piece of work, over rounds of many.
struct Timing {
  double median_s = 0;
  double fastest_s = 0;
  double slowest_s = 0;
  double bytes = 0;      // of its operands
  int64_t launches = 0;  // of kernels of this engine; 0 on the CPU device
};

/// Times work by a device's own clock. Each run finds nothing of its operands in the caches: it takes turns on so many sets of
/// them that all of the last cache has been replaced four times before a set's turn comes again. On a GPU the turns of one
/// round go on until 4 GB have been moved, or 128 runs made.
class Stopwatch {
 public:
  /// Spends at least `seconds` on each piece of work. 0 is a quick look: few runs on one set of operands, which the caches
  /// hold.
  Stopwatch(Device device, double seconds) : Stopwatch(device, seconds, default_copy_bytes(device)) {}
  Stopwatch(Device device, double seconds, int64_t copy_bytes);

  Device device() const { return device_; }

  /// Nothing where the maker gives no work.
  std::optional<Timing> time(const Maker& make, DType dtype) const;
  /// Bytes read and written per second of a copy of `copy_bytes` within the device's memory.
  double copy_bytes_per_second() const;

 private:
  /// 1 GiB or, on the CPU device, 256 MiB.
  static int64_t default_copy_bytes(Device device);
  /// Work that takes the device longer than the host needs to queue so many runs.
  void keep_busy(double runs) const;

  Device device_;
  double seconds_;
  double cache_bytes_;
  Tensor source_, destination_;
};

}  // namespace residua::bench
