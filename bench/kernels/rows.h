#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/kernels/kernel_case.h"
#include "bench/kernels/measure.h"

namespace residua::bench {

/// Measures all cases in the types that they have, prints them as a table, and adds their rows to the report. `copy` is the
/// bandwidth of a copy in bytes per second. Calls `save` after each case, so that nothing is lost if one fails or the program
/// is killed. Returns the number of failures, which the report names.
int measure_all(const std::vector<KernelCase>& cases, const std::vector<DType>& types, const Stopwatch& stopwatch, double copy,
                const std::function<void()>& save, nlohmann::json& report);

}  // namespace residua::bench
