#pragma once

#include <cstdint>
#include <string>

namespace residua {

struct Setting;

/// A number of worker threads that is not given: at most one a core.
inline constexpr int64_t kAutoWorkers = -1;  // kAuto
inline constexpr int64_t kMaxWorkers = 1024;

/// One worker for each processor of this program, but at most kMaxWorkers.
int64_t one_worker_a_core();

/// `workers`, or one a core for kAutoWorkers.
inline int64_t count_workers(int64_t workers) { return workers == kAutoWorkers ? one_worker_a_core() : workers; }

/// The setting `workers`: "auto" or a number.
Setting workers_setting(int64_t& workers, const std::string& help);

}  // namespace residua
