#include "core/nn/state_dict.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace residua {
namespace {

constexpr const char* kWeight = "weight.";
constexpr const char* kVelocity = "velocity.";
constexpr const char* kRunningMean = "running_mean.";
constexpr const char* kRunningVariance = "running_variance.";

/// A host copy of `arena`. slice() finds the part of it that belongs to one of the arena's tensors.
class ArenaCopy {
 public:
  explicit ArenaCopy(const Tensor& arena)
      : begin_(static_cast<const std::byte*>(arena.data())), host_(arena.device() == Device{} ? arena : arena.to(Device{})) {}

  Tensor slice(const Tensor& part) const {
    const int64_t offset = static_cast<const std::byte*>(part.data()) - begin_;
    return host_.slice(offset / size_bytes(part.dtype()), part.shape());
  }

 private:
  const std::byte* begin_;
  Tensor host_;
};

void add_parameters(const ParameterStore& store, ParameterRole role, const ParameterArena& arena, StateSnapshot& result) {
  const ArenaCopy masters(arena.master);
  const std::optional<ArenaCopy> velocities =
      arena.velocity.defined() ? std::optional<ArenaCopy>(arena.velocity) : std::nullopt;
  const std::vector<Parameter*>& parameters = store.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = *parameters[i];
    if (p.role != role) {
      continue;
    }
    const auto write = [&](const Tensor& stored, HostArray& array) {
      array.name = p.name;
      array.dtype = DType::f32;
      array.shape.assign(p.logical.sizes().begin(), p.logical.sizes().end());
      array.bytes.resize(static_cast<size_t>(p.logical.size()) * sizeof(float));
      to_logical(p, stored.span<float>(), array.span<float>());
    };
    write(masters.slice(p.master), result.weights[i]);
    if (velocities) {
      write(velocities->slice(p.velocity), result.velocities[i]);
    }
  }
}

bool is_finite(const HostArray& array) {
  return std::ranges::all_of(array.span<float>(), [](float value) { return std::isfinite(value); });
}

}  // namespace

std::optional<std::string> StateSnapshot::first_not_finite() const {
  for (const std::vector<HostArray>* arrays : {&weights, &velocities, &running_means, &running_variances}) {
    const auto found = std::ranges::find_if_not(*arrays, is_finite);
    if (found != arrays->end()) {
      return found->name;
    }
  }
  return {};
}

StateSnapshot snapshot(const ParameterStore& store, StateSnapshot memory) {
  StateSnapshot result = std::move(memory);
  result.running_means.clear();
  result.running_variances.clear();
  result.batches_tracked = store.batches_tracked;
  result.weights.resize(store.parameters().size());
  result.velocities.resize(store.options().purpose == Purpose::training ? store.parameters().size() : 0);
  add_parameters(store, ParameterRole::matrix, store.matrices(), result);
  add_parameters(store, ParameterRole::vector, store.vectors(), result);
  const ArenaCopy means(store.statistics_arena().running_mean);
  const ArenaCopy variances(store.statistics_arena().running_variance);
  for (const RunningStatistics* layer : store.statistics()) {
    const auto values = [layer](const Tensor& host) {
      return host_array<float>(layer->name, {layer->channels}, host.span<float>());
    };
    result.running_means.push_back(values(means.slice(layer->running_mean)));
    result.running_variances.push_back(values(variances.slice(layer->running_variance)));
  }
  return result;
}

std::vector<HostArrayView> checkpoint_arrays(const StateSnapshot& snapshot) {
  std::vector<HostArrayView> result;
  const auto add = [&result](const char* prefix, const std::vector<HostArray>& arrays) {
    for (const HostArray& array : arrays) {
      result.push_back(view(array, prefix + array.name));
    }
  };
  add(kWeight, snapshot.weights);
  add(kVelocity, snapshot.velocities);
  add(kRunningMean, snapshot.running_means);
  add(kRunningVariance, snapshot.running_variances);
  return result;
}

void restore(const std::string& path, std::span<const HostArray> arrays, int64_t batches_tracked, ParameterStore& store) {
  std::map<std::string_view, const HostArray*> by_name;
  for (const HostArray& array : arrays) {
    by_name.emplace(array.name, &array);
  }
  // Check everything before the first change.
  const auto find = [&](const std::string& name, const Shape& wanted) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) {
      fail_usage("{} has no array named {}", path, name);
    }
    const HostArray& array = *found->second;
    if (!std::ranges::equal(array.shape, wanted.sizes()) || array.dtype != DType::f32) {
      fail_usage("{}: {} is {} {}, wanted f32 {}", path, name, residua::name(array.dtype), shape_text(array.shape),
                 wanted.string());
    }
    if (!is_finite(array)) {
      fail_usage("{}: {} has values that are not finite: the file is damaged, or the run diverged", path, name);
    }
    return array.span<float>();
  };
  std::vector<std::pair<const Parameter*, std::pair<Tensor, std::span<const float>>>> parameters;
  std::vector<std::pair<Tensor, std::span<const float>>> statistics;
  for (const Parameter* p : store.parameters()) {
    parameters.push_back({p, {p->master, find(kWeight + p->name, p->logical)}});
    parameters.push_back({p, {p->velocity, find(kVelocity + p->name, p->logical)}});
  }
  for (const RunningStatistics* s : store.statistics()) {
    statistics.emplace_back(s->running_mean, find(kRunningMean + s->name, s->running_mean.shape()));
    statistics.emplace_back(s->running_variance, find(kRunningVariance + s->name, s->running_variance.shape()));
  }
  for (const auto& [parameter, change] : parameters) {
    from_logical(*parameter, change.second, change.first);
  }
  for (const auto& [target, values] : statistics) {
    target.copy_from(values);
  }
  store.batches_tracked = batches_tracked;
  store.masters_changed();
}

}  // namespace residua
