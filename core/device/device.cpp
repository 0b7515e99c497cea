#include "core/device/device.h"

#include <fmt/format.h>

#include <charconv>

#include "core/base/error.h"
#include "core/device/built_with_cuda.h"
#include "core/device/device_api.h"

namespace residua {
namespace {

int parse_index(std::string_view text) {
  int index = 0;
  if (text.starts_with("cuda:")) {
    const std::string_view digits = text.substr(5);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error != std::errc{} || end != digits.data() + digits.size() || index < 0) {
      fail_usage("device '{}': wanted cuda:N with N = 0, 1, ...", text);
    }
  }
  return index;
}

}  // namespace

std::string Device::string() const { return type == Type::cpu ? "cpu" : fmt::format("cuda:{}", index); }

Device parse_device(std::string_view text) {
  if (text == "cpu" || (text == "auto" && device_api::cuda_device_count() == 0)) {
    return {};
  }
  if (text != "auto" && text != "cuda" && !text.starts_with("cuda:")) {
    fail_usage("device '{}' is unknown: wanted auto, cpu, cuda or cuda:N", text);
  }
  const int index = parse_index(text);
  if (!kBuiltWithCuda) {
    fail_usage("device '{}': this build has no CUDA device; use --device cpu, or build with -DRESIDUA_CUDA=ON", text);
  }
  const int count = device_api::cuda_device_count();
  if (count == 0) {
    fail_usage(
        "device '{}': this machine has no usable CUDA device: {} (nvidia-smi shows what the driver sees); use --device cpu",
        text, device_api::why_no_cuda_device());
  }
  if (index >= count) {
    fail_usage("device '{}': this machine has {} CUDA devices; wanted cuda:0{}", text, count,
               count > 1 ? fmt::format(" to cuda:{}", count - 1) : "");
  }
  return {Device::Type::cuda, index};
}

}  // namespace residua
