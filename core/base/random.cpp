#include "core/base/random.h"

#include <cmath>
#include <numbers>

namespace residua {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

Random::Random(uint64_t seed, RandomPurpose purpose, uint64_t epoch, uint64_t index)
    : counter_{0, static_cast<uint32_t>(epoch), static_cast<uint32_t>(index),
               static_cast<uint32_t>(index >> 32 & 0xffffffu) | static_cast<uint32_t>(purpose) << 24},
      key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)} {}

uint32_t Random::bits() {
  if (used_ == 4) {
    block_ = philox(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[static_cast<size_t>(used_++)];
}

double Random::uniform() {
  const uint64_t high = bits() >> 5;
  const uint64_t low = bits() >> 6;
  return static_cast<double>(high << 26 | low) * 0x1p-53;
}

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

int64_t Random::below(int64_t count) {
  const uint64_t n = static_cast<uint64_t>(count);
  const uint64_t reject_below = (0 - n) % n;  // 2^64 mod n: a multiple of n draws is left, so draw % n has no bias
  for (;;) {
    const uint64_t high = bits();
    const uint64_t draw = high << 32 | bits();
    if (draw >= reject_below) {
      return static_cast<int64_t>(draw % n);
    }
  }
}

}  // namespace residua
