#include "core/data/worker_count.h"

#include <algorithm>

#include "core/base/host_processors.h"
#include "core/config/auto_or_number.h"

namespace residua {

int64_t one_worker_a_core() { return std::clamp<int64_t>(host_processors(), 1, kMaxWorkers); }

Setting workers_setting(int64_t& workers, const std::string& help) {
  return auto_or_number("workers", workers, between(0, kMaxWorkers), help);
}

}  // namespace residua
