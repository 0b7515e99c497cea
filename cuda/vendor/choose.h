#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "core/tensor/error.h"
#include "cuda/runtime/stream.h"
#include "cuda/vendor/plan_cache.h"

namespace residua::cuda {

/// One way to fulfil a contract.
template <class Args>
using Way = std::function<void(const Args& args, Stream& stream)>;

/// A way that may exist. `build` is slow, and gives null where it does not.
template <class Args>
struct Candidate {
  std::string name;
  std::function<Way<Args>()> build;
};

/// Milliseconds that a device takes for what `work` queues.
using Clock = std::function<double(const std::function<void()>& work)>;

/// The median of several timings, fewer if the first is far above `best`.
double median_milliseconds(const Clock& clock, const std::function<void()>& work, double best);

/// The candidate that the cache names or, where it does not know `key` or names one that cannot be built, the fastest on
/// `args`, which each of them may overwrite the outputs of. Fails when there is none.
template <class Args>
Way<Args> choose(const std::string& key, const std::vector<Candidate<Args>>& candidates, const Args& args, Stream& stream,
                 PlanCache& cache, const Clock& clock, Choice& chosen) {
  if (const auto known = cache.find(key)) {
    for (const Candidate<Args>& candidate : candidates) {
      if (candidate.name != known->name) {
        continue;
      }
      if (Way<Args> way = candidate.build()) {
        chosen = *known;
        return way;
      }
    }
  }
  chosen = {};
  Way<Args> fastest;
  double best = std::numeric_limits<double>::infinity();
  std::string failure = "none could be built";
  for (const Candidate<Args>& candidate : candidates) {
    Way<Args> way = candidate.build();
    if (!way) {
      continue;
    }
    double milliseconds = 0;
    try {
      clock([&] { way(args, stream); });  // loads its kernels, and chooses the ways of what it is composed of
      milliseconds = median_milliseconds(
          clock, [&] { way(args, stream); }, best);
    } catch (const Error& error) {
      failure = error.what();
      continue;
    }
    chosen.milliseconds.emplace_back(candidate.name, milliseconds);
    if (!fastest || milliseconds < best) {
      best = milliseconds;
      chosen.name = candidate.name;
      fastest = std::move(way);
    }
  }
  if (!fastest) {
    fail("there is no way to run {}: of {} candidates, {}", key, candidates.size(), failure);
  }
  cache.put(key, chosen);
  return fastest;
}

}  // namespace residua::cuda
