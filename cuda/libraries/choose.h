#pragma once

#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "cuda/libraries/plan_cache.h"
#include "cuda/runtime/stream.h"

namespace residua::cuda {

/// One way to fulfil a contract.
template <class Args>
using Way = std::function<void(const Args& args, Stream& stream)>;

/// A way that may exist. `build` is slow, and fails with the reason where it does not.
template <class Args>
struct Candidate {
  std::string name;
  std::function<Way<Args>()> build;
};

/// Milliseconds that a device takes for what `work` queues.
using Clock = std::function<double(const std::function<void()>& work)>;

/// The median time of each, taken in turns once the device has been busy for a while. What is far slower than the fastest is
/// timed only twice.
std::vector<double> median_milliseconds(const Clock& clock, const std::vector<std::function<void()>>& works);

/// The candidate that the cache names or, where it does not know `key` or names one that cannot be built, the fastest on
/// `args`, which each of them may overwrite the outputs of. Fails when there is none, and names the one that a device's fault
/// is of.
template <class Args>
Way<Args> choose(const std::string& key, const std::vector<Candidate<Args>>& candidates, const Args& args, Stream& stream,
                 PlanCache& cache, const Clock& clock, Choice& chosen) {
  if (const auto known = cache.find(key)) {
    for (const Candidate<Args>& candidate : candidates) {
      if (candidate.name != known->name) {
        continue;
      }
      try {
        Way<Args> way = candidate.build();
        chosen = *known;
        return way;
      } catch (const Error&) {
        break;  // of another version of the library than the cache knows of
      }
    }
  }
  chosen = {};
  std::string unbuilt, failure;
  std::vector<Way<Args>> ways;
  std::vector<std::string> names;
  for (const Candidate<Args>& candidate : candidates) {
    Way<Args> way;
    try {
      way = candidate.build();
    } catch (const Error& error) {
      unbuilt = fmt::format("{}: {}", candidate.name, error.what());
      continue;
    }
    try {
      clock([&] { way(args, stream); });  // loads its kernels, and chooses the ways of what it is composed of
    } catch (const DeviceFault& fault) {
      throw DeviceFault(fmt::format("{} by {}: {}", key, candidate.name, fault.what()));
    } catch (const Error& error) {
      failure = failure.empty() ? fmt::format("{}: {}", candidate.name, error.what()) : failure;
      continue;
    }
    ways.push_back(std::move(way));
    names.push_back(candidate.name);
  }
  if (ways.empty()) {
    fail("there is no way to run {}: of {} candidates {}", key, candidates.size(),
         failure.empty() ? "none could be built; the last was " + unbuilt : "the first that failed was " + failure);
  }
  if (ways.size() == 1 && candidates.size() > 2) {
    spdlog::warn("{}: of {} ways only {} can be used; another was {}", key, candidates.size(), names.front(),
                 unbuilt.empty() ? failure : unbuilt);
  }
  std::vector<std::function<void()>> works;
  for (const Way<Args>& way : ways) {
    works.emplace_back([&] { way(args, stream); });
  }
  const std::vector<double> medians = median_milliseconds(clock, works);
  const auto fastest = static_cast<size_t>(std::ranges::min_element(medians) - medians.begin());
  chosen.name = names[fastest];
  chosen.refusal = failure.empty() ? unbuilt : failure;
  for (size_t i = 0; i < names.size(); ++i) {
    chosen.milliseconds.emplace_back(names[i], medians[i]);
  }
  cache.put(key, chosen);
  return std::move(ways[fastest]);
}

}  // namespace residua::cuda
