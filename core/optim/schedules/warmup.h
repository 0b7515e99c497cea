#pragma once

#include <cstdint>
#include <memory>

#include "core/optim/schedules/schedule.h"

namespace residua {

/// Adds a linear or constant warm-up of `iterations` (at least 1) to a schedule. The state is that of `schedule`.
std::unique_ptr<Schedule> with_warmup(std::unique_ptr<Schedule> schedule, WarmupKind kind, int64_t iterations, double rate);

/// Adds the warm-up of ResNet-110 (He et al. 2015, section 4.2): the rate is `rate` until the training error falls below
/// `error` %, then the schedule's own. The error is checked every kWarmupWindow iterations, over the images of those
/// iterations. The schedule's iterations count from the start of the run.
std::unique_ptr<Schedule> with_warmup_until_error(std::unique_ptr<Schedule> schedule, double error, double rate);

/// Our choice: the paper only says that the warm-up took about 400 iterations.
inline constexpr int64_t kWarmupWindow = 100;

}  // namespace residua
