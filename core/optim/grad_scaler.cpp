#include "core/optim/grad_scaler.h"

#include <cmath>
#include <cstddef>
#include <limits>

#include "core/device/device_api.h"
#include "core/kernels/check_finite.h"
#include "core/kernels/fill.h"
#include "core/kernels/finish_step.h"
#include "core/kernels/run.h"
#include "core/kernels/scale.h"

namespace residua {
namespace {

/// At this scale, the gradient of a loss of order 1 overflows only if training has diverged.
constexpr float kSmallestScale = 0x1p-14f;
constexpr float kLargestScale = 0x1p24f;

void check_options(const LossScaling& s) {
  if (!(s.initial > 0 && std::isfinite(s.initial) && s.growth >= 1 && std::isfinite(s.growth) && s.backoff > 0 &&
        s.backoff < 1 && s.growth_interval > 0)) {
    fail_usage(
        "loss scaling: got initial {}, growth {}, backoff {}, interval {}; wanted initial > 0, growth >= 1, 0 < backoff < 1, "
        "interval > 0",
        s.initial, s.growth, s.backoff, s.growth_interval);
  }
}

/// Writes one float of the state with a kernel. Unlike a copy from the host, a kernel never waits and can be captured in a
/// graph.
void set_on_device(Device device, void* member, float value) {
  run(device, Fill{.dtype = DType::f32, .size = 1, .value = value, .x = member});
}

}  // namespace

GradScaler::GradScaler(Device device, const std::optional<LossScaling>& scaling, int64_t most_skipped)
    : device_(device),
      scaling_(scaling),
      most_skipped_(most_skipped),
      state_(empty({static_cast<int64_t>(sizeof(StepState) / sizeof(float))}, DType::f32, device)),
      loss_scale_(state_.slice(offsetof(StepState, loss_scale) / sizeof(float), {})) {
  if (scaling) {
    check_options(*scaling);
  }
  StepState initial;
  initial.loss_scale = scaling ? scaling->initial : 1.0f;
  write(initial);
}

void GradScaler::write(const StepState& state) {
  device_api::copy(device_, state_.data(), Device{}, &state, sizeof(StepState));
}

Tensor GradScaler::loss_scale(float share) const {
  const Tensor scaled = empty({}, DType::f32, device_);
  run(device_, Scale{.size = 1, .factor = share, .x = loss_scale_.data<float>(), .y = scaled.data<float>()});
  return scaled;
}

void GradScaler::set_learning_rate(float rate) {
  if (!(std::isfinite(rate) && rate >= 0)) {
    fail_setting("lr", fmt::format("{}", rate), "a finite number that is not negative");
  }
  if (rate != learning_rate_) {
    learning_rate_ = rate;
    set_on_device(device_, &state()->learning_rate, rate);
  }
}

void GradScaler::set_loss_scale(float scale, int64_t good_steps) {
  if (!(std::isfinite(scale) && scale > 0 && good_steps >= 0 && good_steps <= std::numeric_limits<int32_t>::max())) {
    fail("loss scale: got {} after {} good steps; wanted a positive finite scale and a count of at least 0", scale, good_steps);
  }
  StepState now = read();
  now.loss_scale = scale;
  now.good_steps = static_cast<int32_t>(good_steps);
  write(now);
}

void GradScaler::check(const Tensor& values) {
  if (values.size() > 0) {
    run(device_, CheckFinite{.dtype = values.dtype(), .size = values.size(), .x = values.data(), .state = state()});
  }
}

void GradScaler::check_gradients(ParameterStore& store) {
  for (const ParameterArena* arena : {&store.matrices(), &store.vectors()}) {
    check(arena->gradient.slice(arena->frozen, {arena->size - arena->frozen}));
  }
}

void GradScaler::finish_step() {
  const LossScaling scaling = scaling_.value_or(LossScaling{.growth_interval = 0});
  run(device_, FinishStep{.growth = scaling.growth,
                          .backoff = scaling.backoff,
                          .smallest = kSmallestScale,
                          .largest = kLargestScale,
                          .growth_interval = scaling.growth_interval,
                          .most_skipped = most_skipped_,
                          .state = state()});
}

StepState GradScaler::read() const {
  StepState state;
  device_api::copy(Device{}, &state, device_, state_.data(), sizeof(StepState));
  return state;
}

void GradScaler::restart(int64_t skipped_steps, int64_t skipped_in_a_row) {
  StepState now = read();
  now.found_inf = 0;
  now.diverged_at = 0;
  now.skipped_steps = skipped_steps;
  now.skipped_in_a_row = skipped_in_a_row;
  write(now);
}

}  // namespace residua
