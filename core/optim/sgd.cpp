#include "core/optim/sgd.h"

#include <cmath>
#include <cstddef>
#include <limits>

#include "core/device/device_api.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/check_finite.h"
#include "core/kernels/fill.h"
#include "core/kernels/finish_step.h"
#include "core/kernels/run.h"
#include "core/kernels/sgd.h"

namespace residua {
namespace {

/// The gradient of a loss of order 1 cannot overflow below this scale unless the network itself is broken.
constexpr float kSmallestScale = 0x1p-14f;
constexpr float kLargestScale = 0x1p24f;

void check_not_negative(float value, const char* what) {
  if (!(std::isfinite(value) && value >= 0)) {
    fail_usage("{} is {}: a finite number that is not negative was wanted", what, value);
  }
}

void check(const LossScaling& s) {
  if (!(s.initial > 0 && std::isfinite(s.initial) && s.growth >= 1 && std::isfinite(s.growth) && s.backoff > 0 &&
        s.backoff < 1 && s.growth_interval > 0)) {
    fail_usage(
        "loss scaling: got initial {}, growth {}, backoff {}, interval {}; wanted initial > 0, growth >= 1, 0 < backoff < 1, "
        "interval > 0",
        s.initial, s.growth, s.backoff, s.growth_interval);
  }
}

/// Four bytes of the state by a kernel: unlike a copy from the host it never waits, and a captured one is replayed.
void set_on_device(const ParameterStore& store, void* member, float value) {
  run(store.options().device, Fill{.dtype = DType::f32, .size = 1, .value = value, .x = member});
}

}  // namespace

Sgd::Sgd(ParameterStore& store, const SgdOptions& options)
    : store_(store),
      options_(options),
      device_state_(empty({static_cast<int64_t>(sizeof(StepState) / sizeof(float))}, DType::f32, store.options().device)),
      loss_scale_(device_state_.slice(offsetof(StepState, loss_scale) / sizeof(float), {})) {
  check_not_negative(options.momentum, "momentum");
  check_not_negative(options.weight_decay, "weight decay");
  check_not_negative(options.statistics_momentum, "the momentum of running statistics");
  if (options.loss_scaling) {
    check(*options.loss_scaling);
  }
  if (store.options().purpose != Purpose::training) {
    fail_usage("the parameters were laid out for inference: training needs Purpose::training");
  }
  StepState initial;
  initial.loss_scale = options.loss_scaling ? options.loss_scaling->initial : 1.0f;
  write(initial);
}

void Sgd::write(const StepState& state) {
  device_api::copy(store_.options().device, device_state_.data(), Device{}, &state, sizeof(StepState));
}

void Sgd::set_learning_rate(float rate) {
  check_not_negative(rate, "learning rate");
  if (rate != learning_rate_) {
    learning_rate_ = rate;
    set_on_device(store_, &device_state()->learning_rate, rate);
  }
}

void Sgd::set_loss_scale(float scale, int64_t good_steps) {
  if (!(std::isfinite(scale) && scale > 0 && good_steps >= 0 && good_steps <= std::numeric_limits<int32_t>::max())) {
    fail("loss scale is {} after {} good steps: a positive finite number and a count were wanted", scale, good_steps);
  }
  StepState now = state();
  now.loss_scale = scale;
  now.good_steps = static_cast<int32_t>(good_steps);
  write(now);
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

void Sgd::step() {
  for (const Parameter* parameter : store_.parameters()) {
    if (!parameter->value.grad().defined()) {
      fail("{} got no gradient: backward() must run before each step, on a loss that depends on every parameter",
           parameter->name);
    }
  }
  const Device device = store_.options().device;
  const ParameterArena* arenas[] = {&store_.matrices(), &store_.vectors()};
  set_on_device(store_, &device_state()->found_inf, 0.0f);  // its bits are those of the integer 0
  if (options_.loss_scaling) {
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
                    .bessel_correction = statistics.bessel_correction.data<float>(),
                    .running_mean = statistics.running_mean.data<float>(),
                    .running_variance = statistics.running_variance.data<float>(),
                });
  }
  const LossScaling scaling = options_.loss_scaling.value_or(LossScaling{.growth_interval = 0});
  run(device, FinishStep{.growth = scaling.growth,
                         .backoff = scaling.backoff,
                         .largest = kLargestScale,
                         .growth_interval = scaling.growth_interval,
                         .state = device_state()});
  store_.zero_grad();
}

StepState Sgd::state() {
  StepState state;
  device_api::copy(Device{}, &state, store_.options().device, device_state_.data(), sizeof(StepState));
  store_.batches_tracked += state.accepted_steps - counted_batches_;
  counted_batches_ = state.accepted_steps;
  if (state.loss_scale < kSmallestScale) {
    fail("gradients are not finite even at a loss scale of {}: the training has diverged; lower the learning rate or use bf16",
         state.loss_scale);
  }
  return state;
}

}  // namespace residua
