#include "core/optim/sgd.h"

#include <cmath>
#include <cstddef>

#include "core/kernels/batch_norm.h"
#include "core/kernels/check_finite.h"
#include "core/kernels/fill.h"
#include "core/kernels/run.h"
#include "core/kernels/sgd.h"
#include "core/tensor/device_api.h"

namespace residua {
namespace {

void check_not_negative(float value, const char* what) {
  if (!(std::isfinite(value) && value >= 0)) {
    fail_usage("{} is {}: a finite number that is not negative was wanted", what, value);
  }
}

}  // namespace

Sgd::Sgd(ParameterStore& store, const SgdOptions& options)
    : store_(store),
      options_(options),
      state_{.learning_rate = 0.0f, .loss_scale = 1.0f, .found_inf = 0},
      device_state_(empty({static_cast<int64_t>(sizeof(StepState))}, DType::u8, store.options().device)) {
  check_not_negative(options.momentum, "momentum");
  check_not_negative(options.weight_decay, "weight decay");
  check_not_negative(options.statistics_momentum, "the momentum of running statistics");
  if (store.options().purpose != Purpose::training) {
    fail_usage("the parameters were laid out for inference: training needs Purpose::training");
  }
  upload();
}

void Sgd::upload() { device_api::copy(store_.options().device, device_state_.data(), Device{}, &state_, sizeof(StepState)); }

void Sgd::set_learning_rate(float rate) {
  check_not_negative(rate, "learning rate");
  if (rate != state_.learning_rate) {
    state_.learning_rate = rate;
    upload();
  }
}

void Sgd::set_loss_scale(float scale) {
  if (!(std::isfinite(scale) && scale > 0)) {
    fail("loss scale is {}: a positive finite number was wanted", scale);
  }
  if (scale != state_.loss_scale) {
    state_.loss_scale = scale;
    upload();
  }
}

void Sgd::update(const ParameterArena& arena) {
  if (arena.size == 0) {
    return;
  }
  run(store_.options().device, SgdUpdate{
                                   .gradient_dtype = arena.gradient.dtype(),
                                   .copy_dtype = arena.copy.defined() ? arena.copy.dtype() : DType::bf16,
                                   .size = arena.size,
                                   .momentum = options_.momentum,
                                   .weight_decay = options_.weight_decay,
                                   .state = device_state(),
                                   .gradient = arena.gradient.data(),
                                   .weight = arena.master.data<float>(),
                                   .velocity = arena.velocity.data<float>(),
                                   .copy = arena.copy.defined() ? arena.copy.data() : nullptr,
                               });
}

void Sgd::step(Overflow overflow) {
  for (const Parameter* parameter : store_.parameters()) {
    if (!parameter->value.grad().defined()) {
      fail("{} got no gradient: backward() must run before each step, on a loss that depends on every parameter",
           parameter->name);
    }
  }
  const Device device = store_.options().device;
  const ParameterArena* arenas[] = {&store_.matrices(), &store_.vectors()};
  // The bits of 0.0f are those of the integer 0: a launch, unlike a copy from the host, is replayed with a captured step.
  run(device, Fill{.dtype = DType::f32, .size = 1, .value = 0.0f, .x = &device_state()->found_inf});
  if (overflow == Overflow::skip) {
    for (const ParameterArena* arena : arenas) {
      run(device,
          CheckFinite{
              .dtype = arena->gradient.dtype(), .size = arena->size, .x = arena->gradient.data(), .state = device_state()});
    }
  }
  for (const ParameterArena* arena : arenas) {
    update(*arena);
  }
  const StatisticsArena& statistics = store_.statistics_arena();
  if (statistics.channels > 0) {
    run(device, BatchNormCommit{
                    .channels = statistics.channels,
                    .momentum = options_.statistics_momentum,
                    .state = device_state(),
                    .batch_mean = statistics.batch_mean.data<float>(),
                    .batch_variance = statistics.batch_variance.data<float>(),
                    .unbias = statistics.unbias.data<float>(),
                    .running_mean = statistics.running_mean.data<float>(),
                    .running_variance = statistics.running_variance.data<float>(),
                });
  }
  ++store_.batches_tracked;
  store_.bump_version();
  store_.zero_grad();
}

bool Sgd::skipped() const {
  int32_t found_inf = 0;
  device_api::copy(Device{}, &found_inf, store_.options().device, &device_state()->found_inf, sizeof(found_inf));
  device_api::synchronize(store_.options().device);
  return found_inf != 0;
}

}  // namespace residua
