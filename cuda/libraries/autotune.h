#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/warning.h"
#include "core/device/autotune.h"
#include "core/device/device_api.h"
#include "cuda/libraries/plan_cache.h"
#include "cuda/runtime/stream.h"

namespace residua::cuda {

/// Runs the work of a contract.
template <class Args>
using Plan = std::function<void(const Args& args, Stream& stream)>;

/// A plan that may not exist. `build` is slow, and throws Error with the reason if it does not exist.
template <class Args>
struct Candidate {
  std::string name;
  std::function<Plan<Args>()> build;
};

/// The plan chosen for a key.
template <class Args>
struct ChosenPlan {
  Plan<Args> plan;
  Choice choice;
  bool tuned;  // chosen by timing, in this process or an earlier one, or by rule; otherwise the first one that runs
};

/// Returns how many milliseconds a device takes for what `work` queues.
using Clock = std::function<double(const std::function<void()>& work)>;

/// The median of each timing. They are taken in turns, after the device has been busy for a while. A timing far slower than the
/// fastest is taken only twice. The median is infinite if any sample is.
std::vector<double> median_milliseconds(const std::vector<std::function<double()>>& timings);

/// A device fault that was caused by a plan. The plan has been rejected.
class PlanFault : public DeviceFault {
 public:
  using DeviceFault::DeviceFault;
};

/// Runs `work`, which uses a plan for the first time or times it. If the plan causes a device fault, it is rejected. If the
/// process dies during `work`, the next process rejects the plan.
template <class Work>
auto try_plan(PlanCache& cache, const std::string& key, const std::string& plan, Durability durability, const Work& work) {
  const auto told = [&](const DeviceFault& fault) { return fmt::format("{} by {}: {}", key, plan, fault.what()); };
  try {
    const Trial trial(cache, key, plan, durability);
    return work();
  } catch (const PlanFault& fault) {  // of a plan that is part of this one
    throw PlanFault(told(fault));
  } catch (const DeviceFault& fault) {
    cache.reject(key, plan, fault.what());
    throw PlanFault(told(fault));
  }
}

/// One autotuning run: finds the fastest usable candidate for a key.
template <class Args>
class Autotuner {
 public:
  Autotuner(const std::string& key, const Args& args, Stream& stream, PlanCache& cache, const Clock& clock)
      : key_(key), args_(args), stream_(stream), cache_(cache), clock_(clock) {}

  /// The first candidate that builds and runs, without timing. Rejected candidates come last.
  ChosenPlan<Args> first(const std::vector<Candidate<Args>>& candidates) {
    load(candidates, 1);
    return {std::move(plans_.front()), {.name = names_.front(), .milliseconds = {}, .rejection_reason = reason()}, false};
  }

  /// Like first(), the same in each process: lack of memory is an error, no reason to use another candidate.
  ChosenPlan<Args> by_rule(const std::vector<Candidate<Args>>& candidates) {
    by_rule_ = true;
    ChosenPlan<Args> chosen = first(candidates);
    chosen.tuned = true;
    return chosen;
  }

  ChosenPlan<Args> fastest(const std::vector<Candidate<Args>>& candidates) {
    load(candidates, candidates.size());
    if (plans_.size() == 1 && candidates_ > 2) {
      warn("{}: of {} plans only {} can be used; one of the others: {}", key_, candidates_, names_.front(), reason());
    }
    std::vector<std::function<double()>> timings;
    for (size_t i = 0; i < plans_.size(); ++i) {
      timings.emplace_back([this, i] { return time(i); });
    }
    const std::vector<double> medians = median_milliseconds(timings);
    const auto fastest = static_cast<size_t>(std::ranges::min_element(medians) - medians.begin());
    if (std::isinf(medians[fastest])) {
      fail_without_plan();
    }
    Choice choice{.name = names_[fastest], .milliseconds = {}, .rejection_reason = reason()};
    for (size_t i = 0; i < names_.size(); ++i) {
      if (!std::isinf(medians[i])) {
        choice.milliseconds.emplace_back(names_[i], medians[i]);
      }
    }
    return {std::move(plans_[fastest]), std::move(choice), true};
  }

 private:
  /// Builds and runs candidates until `wanted` usable ones are found. Rejected candidates are tried only if no other is usable.
  void load(const std::vector<Candidate<Args>>& candidates, size_t wanted) {
    candidates_ = candidates.size();
    for (const bool rejected : {false, true}) {
      for (const Candidate<Args>& candidate : candidates) {
        if (plans_.size() == wanted) {
          break;
        }
        const std::string reason = cache_.rejection_reason(key_, candidate.name);
        if (reason.empty() == !rejected) {
          load(candidate);
        } else if (!rejected) {
          rejected_ = fmt::format("{}: {}", candidate.name, reason);
        }
      }
      if (!plans_.empty()) {
        break;
      }
    }
    if (plans_.empty()) {
      fail_without_plan();
    }
  }

  void load(const Candidate<Args>& candidate) {
    Plan<Args> plan;
    try_plan(cache_, key_, candidate.name, Durability::machine, [&] {
      try {
        plan = candidate.build();
      } catch (const DeviceFault&) {
        throw;
      } catch (const Error& error) {
        unbuilt_ = fmt::format("{}: {}", candidate.name, error.what());
        return;
      }
      try {
        run_once(plan);
      } catch (const DeviceFault&) {
        throw;
      } catch (const OutOfMemory& error) {
        if (by_rule_) {
          fail("{} by {}, the plan that a deterministic run needs: {}", key_, candidate.name, error.what());
        }
        note_failure(candidate.name, error);
        return;
      } catch (const Error& error) {
        note_failure(candidate.name, error);
        return;
      }
      plans_.push_back(std::move(plan));
      names_.push_back(candidate.name);
    });
  }

  /// Loads the plan's kernels, and chooses the plans that it is composed of.
  void run_once(const Plan<Args>& plan) {
    if (autotune_allowed() && !by_rule_) {
      clock_([&] { plan(args_, stream_); });
    } else {
      plan(args_, stream_);
      device_api::synchronize(stream_.device());  // so that a fault shows up while the plan is on trial
    }
  }

  double time(size_t i) {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    if (!plans_[i]) {
      return kNever;
    }
    return try_plan(cache_, key_, names_[i], Durability::process, [&] {
      try {
        return clock_([&] { plans_[i](args_, stream_); });
      } catch (const DeviceFault&) {
        throw;
      } catch (const Error& error) {
        note_failure(names_[i], error);
        plans_[i] = nullptr;
        return kNever;
      }
    });
  }

  void note_failure(const std::string& plan, const Error& error) {
    if (failure_.empty()) {
      failure_ = fmt::format("{}: {}", plan, error.what());
    }
  }

  /// Why a candidate cannot be used, the most serious reason first; empty if all can be used.
  const std::string& reason() const { return !rejected_.empty() ? rejected_ : !failure_.empty() ? failure_ : unbuilt_; }

  [[noreturn]] void fail_without_plan() const {
    fail("no usable plan for {} among {} candidates: {}", key_, candidates_,
         failure_.empty() ? "none could be built; the last was " + unbuilt_ : "the first that failed was " + failure_);
  }

  const std::string& key_;
  const Args& args_;
  Stream& stream_;
  PlanCache& cache_;
  const Clock& clock_;
  bool by_rule_ = false;
  size_t candidates_ = 0;
  std::string unbuilt_, failure_, rejected_;
  std::vector<Plan<Args>> plans_;
  std::vector<std::string> names_;
};

/// Returns the cached candidate for `key`. If the cache has none, or it is rejected or cannot be built, times all candidates on
/// `args`, returns the fastest and caches it. Each candidate may overwrite the outputs. If autotune_allowed() is false, returns
/// the first candidate that runs and leaves the cache unchanged. Throws Error if no candidate is usable. A candidate that
/// causes a device fault is rejected, and the fault names it.
template <class Args>
ChosenPlan<Args> autotune(const std::string& key, const std::vector<Candidate<Args>>& candidates, const Args& args,
                          Stream& stream, PlanCache& cache, const Clock& clock) {
  const std::optional<Choice> known = cache.find(key);
  if (known && cache.rejection_reason(key, known->name).empty()) {
    const auto found = std::ranges::find(candidates, known->name, &Candidate<Args>::name);
    if (found != candidates.end()) {
      try {
        return {try_plan(cache, key, known->name, Durability::process, found->build), *known, true};
      } catch (const DeviceFault&) {
        throw;
      } catch (const Error&) {  // the cache was written with another version of the library
      }
    }
  }
  Autotuner<Args> tuner(key, args, stream, cache, clock);
  if (!autotune_allowed()) {
    return tuner.first(candidates);
  }
  ChosenPlan<Args> chosen = tuner.fastest(candidates);
  cache.put(key, chosen.choice);
  return chosen;
}

/// Returns the first usable candidate. Neither reads nor writes the cache's choices, which come from timing; rejected
/// candidates come last. Throws Error, which names the key, if no candidate is usable or the memory for the first one is
/// missing.
template <class Args>
ChosenPlan<Args> choose_by_rule(const std::string& key, const std::vector<Candidate<Args>>& candidates, const Args& args,
                                Stream& stream, PlanCache& cache) {
  const Clock none;
  return Autotuner<Args>(key, args, stream, cache, none).by_rule(candidates);
}

/// Returns the result of `tune`. If it fails, for example for lack of memory, warns and returns `otherwise`.
bool autotuned_or(bool otherwise, const std::string& key, const std::function<bool()>& tune);

}  // namespace residua::cuda
