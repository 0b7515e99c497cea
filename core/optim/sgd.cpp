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
}

Sgd::Sgd(ParameterStore& store, GradScaler& scaler, const SgdOptions& options)
    : store_(store), scaler_(scaler), options_(options) {
  check_not_negative("momentum", options.momentum);
  check_not_negative("weight-decay", options.weight_decay);
  if (store.options().purpose != Purpose::training) {
    fail_usage("the parameters were laid out for inference: training needs Purpose::training");
  }
}

void Sgd::update(const ParameterArena& arena) {
  const int64_t frozen = arena.frozen;
  if (arena.size == frozen) {
    return;
  }
  const Shape trained{arena.size - frozen};
  run(store_.options().device, SgdUpdate{
                                   .gradient_dtype = arena.gradient.dtype(),
                                   .copy_dtype = arena.copy.defined() ? arena.copy.dtype() : DType::bf16,
                                   .size = trained.size(),
                                   .momentum = options_.momentum,
                                   .weight_decay = options_.weight_decay,
                                   .state = scaler_.state(),
                                   .gradient = arena.gradient.slice(frozen, trained).data(),
                                   .weight = arena.master.data<float>() + frozen,
                                   .velocity = arena.velocity.data<float>() + frozen,
                                   .copy = arena.copy.defined() ? arena.copy.slice(frozen, trained).data() : nullptr,
                               });
}

void Sgd::step() {
  for (const Parameter* parameter : store_.parameters()) {
    if (!parameter->frozen && !parameter->value.grad().defined()) {
      fail("{} got no gradient: backward() must run before each step, on a loss that depends on every parameter",
           parameter->name);
    }
  }
  update(store_.matrices());
  update(store_.vectors());
  store_.zero_grad();
}

}  // namespace residua
