#pragma once

#include <cstdint>
#include <memory>

#include "core/optim/schedules/schedule.h"

namespace residua {

/// A schedule with a warm-up of `iterations` (at least 1) before it. The state is that of `schedule`.
std::unique_ptr<Schedule> with_warmup(std::unique_ptr<Schedule> schedule, WarmupKind kind, int64_t iterations, double rate);

}  // namespace residua
