#include "bench/kernels/measure.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "core/device/device_api.h"
#include "core/kernels/launch_count.h"

namespace residua::bench {
namespace {

constexpr int kLeastRounds = 5;
constexpr int kMostRounds = 1000;
constexpr double kMostSets = 64;
constexpr double kMostSetBytes = 0x1p32;  // all sets together, unless two sets are larger
// Bytes of a timed round on a GPU: enough that recording its events, and writing back dirty cache lines from before, do not
// matter.
constexpr double kRoundBytes = 4e9;
constexpr double kMostWorks = 128;  // of a round, because the host must queue them
constexpr double kUnknownCacheBytes = 0x1p26;
constexpr double kMostCacheBytes = 0x1p27;  // a virtual machine reports the host's whole cache

}  // namespace

int64_t Stopwatch::default_copy_bytes(Device device) {
  return device.type == Device::Type::cpu ? int64_t{1} << 28 : int64_t{1} << 30;
}

Stopwatch::Stopwatch(Device device, double seconds, int64_t copy_bytes) : device_(device), seconds_(seconds) {
  const auto bytes = static_cast<double>(device_api::describe(device).cache_bytes);
  cache_bytes_ = bytes > 0 ? std::min(bytes, kMostCacheBytes) : kUnknownCacheBytes;
  const Shape floats{copy_bytes / int64_t{sizeof(float)}};
  source_ = zeros(floats, DType::f32, device);
  destination_ = zeros(floats, DType::f32, device);
}

void Stopwatch::keep_busy(double runs) const {
  constexpr double kRunsACopy = 32;  // the host needs about 20 us for each
  for (double queued = 0; queued < runs && device_.type != Device::Type::cpu; queued += kRunsACopy) {
    destination_.copy_from(source_);
  }
}

std::optional<Timing> Stopwatch::time(const Maker& make, DType dtype) const {
  std::vector<std::unique_ptr<Operands>> operands;
  std::vector<Work> work;
  double sets = 1;
  for (int i = 0; i < static_cast<int>(sets); ++i) {
    operands.push_back(std::make_unique<Operands>(device_, dtype));
    work.push_back(make ? make(*operands.back()) : Work());
    if (!work.back()) {
      return std::nullopt;
    }
    if (seconds_ == 0) {
      continue;
    }
    const double bytes = std::max(operands.back()->bytes(), 1.0);
    sets = std::clamp(std::ceil(4 * cache_bytes_ / bytes) + 1, 2.0, std::min(kMostSets, std::max(2.0, kMostSetBytes / bytes)));
  }
  const auto cycle = [&] { std::ranges::for_each(work, [](const Work& w) { w(); }); };
  const auto works = static_cast<double>(work.size());
  double cycles = 1;  // of a round
  if (seconds_ > 0 && device_.type != Device::Type::cpu) {
    const double cycle_bytes = works * std::max(operands.front()->bytes(), 1.0);
    cycles = std::max(1.0, std::min(std::ceil(kRoundBytes / cycle_bytes), std::floor(kMostWorks / works)));
  }
  cycle();  // load code, choose plans, warm up
  const int64_t launches_before = launch_count;
  device_api::Timestamp start(device_);
  device_api::Timestamp end(device_);
  std::vector<double> times;
  double total = 0;
  for (int i = 0; i < kMostRounds && (i < kLeastRounds || total < seconds_); ++i) {
    keep_busy(cycles * works);
    start.record();
    for (int c = 0; c < static_cast<int>(cycles); ++c) {
      cycle();
    }
    end.record();
    const double time = end.seconds_since(start);
    total += time;
    times.push_back(time / (cycles * works));
  }
  const double runs = static_cast<double>(times.size()) * cycles * works;
  const auto launches = static_cast<int64_t>(std::lround(static_cast<double>(launch_count - launches_before) / runs));
  std::ranges::sort(times);
  return Timing{times[times.size() / 2], times.front(), times.back(), operands.front()->bytes(), launches};
}

double Stopwatch::copy_bytes_per_second() const {
  const int64_t bytes = source_.bytes();
  const auto copy = [&] {
    if (device_.type != Device::Type::cpu) {
      destination_.copy_from(source_);
      return;
    }
    // The CPU device's own copy uses one thread.
    constexpr int64_t kPiece = 1 << 20;
#pragma omp parallel for
    for (int64_t i = 0; i < bytes; i += kPiece) {
      std::memcpy(static_cast<unsigned char*>(destination_.data()) + i, static_cast<unsigned char*>(source_.data()) + i,
                  static_cast<size_t>(std::min(kPiece, bytes - i)));
    }
  };
  device_api::Timestamp start(device_);
  device_api::Timestamp end(device_);
  std::vector<double> times;
  for (int i = 0; i < (seconds_ == 0 ? kLeastRounds : 21); ++i) {
    start.record();
    copy();
    end.record();
    times.push_back(end.seconds_since(start));
  }
  std::ranges::sort(times);
  return 2.0 * static_cast<double>(bytes) / times[times.size() / 2];
}

}  // namespace residua::bench
