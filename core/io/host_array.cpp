#include "core/io/host_array.h"

#include <algorithm>

namespace residua {

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

void HostArray::check(DType wanted) const {
  if (dtype != wanted) {
    fail("{}: an array of {} was read as {}", name, residua::name(dtype), residua::name(wanted));
  }
}

std::vector<float> HostArray::to_floats() const {
  std::vector<float> values(static_cast<size_t>(size()));
  const auto convert = [&values](const auto& source) {
    std::ranges::transform(source, values.begin(), [](auto value) { return to_float(value); });
  };
  switch (dtype) {
    case DType::f32: convert(span<float>()); break;
    case DType::f16: convert(span<f16>()); break;
    case DType::bf16: convert(span<bf16>()); break;
    default: fail("{}: an array of {} was read as floats", name, residua::name(dtype));
  }
  return values;
}

std::vector<HostArrayView> views(std::span<const HostArray> arrays) {
  std::vector<HostArrayView> result;
  result.reserve(arrays.size());
  for (const HostArray& array : arrays) {
    result.push_back(view(array, array.name));
  }
  return result;
}

}  // namespace residua
