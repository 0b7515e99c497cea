#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace residua {

/// What a random sequence is used for. Under one seed, sequences for different purposes are independent.
enum class RandomPurpose : uint8_t { order = 1, augmentation = 2, synthetic_image = 3, synthetic_noise = 4, holdout = 5 };

/// Philox4x32-10: 128 random bits as a pure function of a counter and a key
/// (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// Random numbers that depend only on (seed, purpose, epoch, index), so a sample gets the same augmentation whichever thread
/// prepares it and in whatever order. All platforms draw the same numbers. Valid for index < 2^56 and up to 2^34 draws of 32
/// bits.
class Random {
 public:
  Random(uint64_t seed, RandomPurpose purpose, uint64_t epoch, uint64_t index);

  uint32_t bits();
  /// Uniform in [0, 1), a multiple of 2^-53.
  double uniform();
  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform in 0 .. count - 1, without bias; count > 0.
  int64_t below(int64_t count);
  /// Standard normal (Box and Muller 1958). Platforms may differ in the last digits, because their log and cos do.
  double normal();
  bool coin() { return (bits() & 1u) != 0; }

 private:
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace residua
