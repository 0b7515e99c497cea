#pragma once

#include <cstdint>
#include <memory>

#include "core/optim/schedules/schedule.h"

namespace residua {

/// A schedule with a linear or constant warm-up of `iterations` (at least 1) before it. The state is that of `schedule`.
std::unique_ptr<Schedule> with_warmup(std::unique_ptr<Schedule> schedule, WarmupKind kind, int64_t iterations, double rate);

/// A schedule whose rate is `rate` until the training error falls below `error` %, and the schedule's own from then on: the
/// warm-up of ResNet-110 (He et al. 2015, section 4.2). The error is that of the images of kWarmupWindow iterations, and is
/// looked at after each kWarmupWindow iterations. The schedule's iterations count from the start of the run.
std::unique_ptr<Schedule> with_warmup_until_error(std::unique_ptr<Schedule> schedule, double error, double rate);

/// Our reading: the paper says that the warm-up took about 400 iterations.
inline constexpr int64_t kWarmupWindow = 100;

}  // namespace residua
