#include "tests/support/random.h"

#include <cstdio>
#include <cstdlib>

namespace residua::test {
namespace {

uint64_t chosen_seed() {
  const char* text = std::getenv("RESIDUA_TEST_SEED");
  const uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device{}();
  std::printf("[seed] random inputs; repeat with RESIDUA_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

/// FNV-1a, because std::hash may differ between libraries.
uint64_t hash(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : text) {
    h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  }
  return h;
}

}  // namespace

uint64_t run_seed() {
  static const uint64_t seed = chosen_seed();
  return seed;
}

Random::Random(std::string_view name) : engine_(run_seed() ^ hash(name)) {}

double Random::uniform(double low, double high) {
  return low + (high - low) * (static_cast<double>(engine_() >> 11) * 0x1p-53);
}

int64_t Random::integer(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
}

}  // namespace residua::test
