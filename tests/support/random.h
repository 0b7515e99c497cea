#pragma once

#include <cstdint>
#include <random>
#include <string_view>

namespace residua::test {

/// The seed of this test run: the environment variable RESIDUA_TEST_SEED, or a fresh one. The first call prints it.
uint64_t run_seed();

/// Random numbers that depend only on the run's seed and on `name`, so that each test can be repeated alone.
class Random {
 public:
  explicit Random(std::string_view name);

  /// In [low, high).
  double uniform(double low, double high);
  /// In [low, high].
  int64_t integer(int64_t low, int64_t high);

 private:
  std::mt19937_64 engine_;
};

}  // namespace residua::test
