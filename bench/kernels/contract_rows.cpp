#include "bench/kernels/contract_rows.h"

#include <algorithm>

namespace residua::bench {

nlohmann::json contract_rows(const std::vector<KernelCase>& cases, const std::vector<DType>& types) {
  nlohmann::json rows = nlohmann::json::array();
  for (const KernelCase& c : cases) {
    for (const DType dtype : types) {
      if (std::ranges::find(c.dtypes, dtype) == c.dtypes.end()) {
        continue;
      }
      Operands operands(Device{}, dtype, Allocation::none);
      c.own(operands);
      rows.push_back({{"kernel", c.kernel},
                      {"shape", c.shape},
                      {"type", name(dtype)},
                      {"bytes", operands.bytes()},
                      {"written_bytes", operands.written_bytes()}});
    }
  }
  return rows;
}

}  // namespace residua::bench
