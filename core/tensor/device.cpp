#include "core/tensor/device.h"

#include <fmt/format.h>

#include <charconv>

#include "core/kernels/run.h"
#include "core/tensor/error.h"

namespace residua {

std::string Device::string() const { return type == Type::cpu ? "cpu" : fmt::format("cuda:{}", index); }

Device parse_device(std::string_view text) {
  if (text == "cpu") {
    return {};
  }
  if (text == "auto" && !kBuiltWithCuda) {
    return {};
  }
  if (text == "auto" || text == "cuda" || text.starts_with("cuda:")) {
    if (!kBuiltWithCuda) {
      fail_usage("device '{}': this build has no CUDA device; use --device cpu, or build with -DRESIDUA_CUDA=ON", text);
    }
    int index = 0;
    if (text.starts_with("cuda:")) {
      const std::string_view digits = text.substr(5);
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
      if (error != std::errc{} || end != digits.data() + digits.size() || index < 0) {
        fail_usage("device '{}': wanted cuda:N with N = 0, 1, ...", text);
      }
    }
    return {Device::Type::cuda, index};
  }
  fail_usage("device '{}' is unknown: wanted auto, cpu, cuda or cuda:N", text);
}

}  // namespace residua
