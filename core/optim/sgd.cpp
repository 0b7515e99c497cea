#include "core/optim/sgd.h"

#include <cmath>

#include "core/kernels/run.h"
#include "core/kernels/sgd.h"

namespace residua {
namespace {

void check_not_negative(const char* setting, float value) {
  if (!(std::isfinite(value) && value >= 0)) {
    fail_setting(setting, fmt::format("{}", value), "a finite number that is not negative");
  }
}

}  // namespace

void declare(Settings& s, SgdOptions& o) {
  s.number("momentum", o.momentum, between(0, 1), "Momentum of SGD.");
  s.number("weight-decay", o.weight_decay, at_least(0), "L2 weight decay, applied to all parameters as in the paper.")
      .alias("wd");
  s.flag("no-bn-decay", o.no_bn_decay, "Apply no weight decay to gamma and beta of batch norms (Goyal et al. 2017).");
}

Sgd::Sgd(ParameterStore& store, GradScaler& scaler, const SgdOptions& options)
    : store_(store), scaler_(scaler), options_(options) {
  check_not_negative("momentum", options.momentum);
  check_not_negative("weight-decay", options.weight_decay);
  if (store.options().purpose != Purpose::training) {
    fail_usage("the parameters were laid out for inference: training needs Purpose::training");
  }
}

std::vector<Sgd::Range> Sgd::ranges_of(const ParameterArena& arena, ParameterRole role) const {
  std::vector<Range> ranges;
  for (const Parameter* parameter : store_.parameters()) {
    if (parameter->role != role || parameter->frozen) {
      continue;
    }
    const float decay = options_.no_bn_decay && parameter->of_norm ? 0.0f : options_.weight_decay;
    if (ranges.empty() || ranges.back().weight_decay != decay) {
      const int64_t first = parameter->master.data<float>() - arena.master.data<float>();
      if (!ranges.empty()) {
        ranges.back().size = first - ranges.back().first;
      }
      ranges.push_back({.first = first, .size = arena.size - first, .weight_decay = decay});
    }
  }
  return ranges;
}

void Sgd::update(const ParameterArena& arena, const Range& range) {
  const Shape shape{range.size};
  run(store_.options().device, SgdUpdate{
                                   .gradient_dtype = arena.gradient.dtype(),
                                   .copy_dtype = arena.copy.defined() ? arena.copy.dtype() : DType::bf16,
                                   .size = range.size,
                                   .momentum = options_.momentum,
                                   .weight_decay = range.weight_decay,
                                   .state = scaler_.state(),
                                   .gradient = arena.gradient.slice(range.first, shape).data(),
                                   .weight = arena.master.data<float>() + range.first,
                                   .velocity = arena.velocity.data<float>() + range.first,
                                   .copy = arena.copy.defined() ? arena.copy.slice(range.first, shape).data() : nullptr,
                               });
}

void Sgd::step() {
  for (const Parameter* parameter : store_.parameters()) {
    if (!parameter->frozen && !parameter->value.grad().defined()) {
      fail("{} got no gradient: backward() must run before each step, on a loss that depends on every parameter",
           parameter->name);
    }
  }
  for (const auto role : {ParameterRole::matrix, ParameterRole::vector}) {
    const ParameterArena& arena = role == ParameterRole::matrix ? store_.matrices() : store_.vectors();
    for (const Range& range : ranges_of(arena, role)) {
      update(arena, range);
    }
  }
  store_.zero_grad();
}

}  // namespace residua
