#include "core/nn/initialization.h"

#include <cmath>
#include <numbers>
#include <string_view>

namespace residua {
namespace {

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection that spreads every input bit over all output bits.
uint64_t scatter(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/// FNV-1a.
uint64_t hash(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : text) {
    h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  return h;
}

/// In (0, 1], from the upper 53 bits.
double uniform(uint64_t bits) { return static_cast<double>((bits >> 11) + 1) * 0x1p-53; }

/// Standard normal numbers in pairs (Box and Muller 1958).
std::vector<float> normal(uint64_t key, int64_t size, double deviation) {
  std::vector<float> values(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; i += 2) {
    const uint64_t counter = static_cast<uint64_t>(i);
    const double radius = deviation * std::sqrt(-2.0 * std::log(uniform(scatter(key + counter))));
    const double angle = 2.0 * std::numbers::pi * uniform(scatter(key + counter + 1));
    values[static_cast<size_t>(i)] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < size) {
      values[static_cast<size_t>(i + 1)] = static_cast<float>(radius * std::sin(angle));
    }
  }
  return values;
}

int64_t fan(const Parameter& parameter, FanMode mode) {
  const Shape& logical = parameter.logical;
  if (logical.rank() != 4) {
    return logical[1];
  }
  return (mode == FanMode::fan_in ? logical[1] : logical[0]) * logical[2] * logical[3];
}

void fill(const Tensor& tensor, float value) {
  tensor.copy_from(std::vector<float>(static_cast<size_t>(tensor.size()), value));
}

}  // namespace

void initialize(ParameterStore& store, uint64_t seed, FanMode mode, bool zero_gamma) {
  for (const Parameter* parameter : store.parameters()) {
    switch (parameter->initializer) {
      case Initializer::he_normal: {
        const double deviation = std::sqrt(2.0 / static_cast<double>(fan(*parameter, mode)));
        const uint64_t key = scatter(scatter(seed) ^ hash(parameter->name));
        from_logical(*parameter, normal(key, parameter->logical.size(), deviation), parameter->master);
        break;
      }
      case Initializer::zeros: fill(parameter->master, 0.0f); break;
      case Initializer::ones: fill(parameter->master, 1.0f); break;
      case Initializer::last_gamma: fill(parameter->master, zero_gamma ? 0.0f : 1.0f); break;
    }
    if (parameter->velocity.defined()) {
      fill(parameter->velocity, 0.0f);
    }
  }
  for (const RunningStatistics* layer : store.statistics()) {
    fill(layer->running_mean, 0.0f);
    fill(layer->running_variance, 1.0f);
  }
  store.batches_tracked = 0;
  store.masters_changed();
}

}  // namespace residua
