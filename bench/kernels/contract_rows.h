#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "bench/kernels/kernel_case.h"

namespace residua::bench {

/// What each case moves in each of `types` that it has: kernel, shape, type, bytes and written_bytes. Runs nothing.
nlohmann::json contract_rows(const std::vector<KernelCase>& cases, const std::vector<DType>& types);

}  // namespace residua::bench
