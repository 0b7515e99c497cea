#include "core/nn/parameter.h"

namespace residua {
namespace {

/// Calls f(logical index, stored index) for each logical element.
template <class F>
void for_each_element(const Parameter& parameter, const F& f) {
  if (parameter.logical.rank() != 4) {
    for (int64_t i = 0; i < parameter.logical.size(); ++i) {
      f(i, i);
    }
    return;
  }
  const Shape& oihw = parameter.logical;
  const int64_t stored_channels = parameter.shape[3];
  const int64_t area = oihw[2] * oihw[3];
  for (int64_t k = 0; k < oihw[0]; ++k) {
    for (int64_t c = 0; c < oihw[1]; ++c) {
      for (int64_t rs = 0; rs < area; ++rs) {
        f((k * oihw[1] + c) * area + rs, (k * area + rs) * stored_channels + c);
      }
    }
  }
}

bool compatible(const Shape& stored, const Shape& logical) {
  if (logical.rank() != 4) {
    return stored == logical;
  }
  return stored.rank() == 4 && stored[0] == logical[0] && stored[1] == logical[2] && stored[2] == logical[3] &&
         stored[3] >= logical[1];
}

}  // namespace

Parameter::Parameter(ParameterRole role, Initializer initializer, Shape shape, Shape logical)
    : role(role), initializer(initializer), shape(shape), logical(logical) {
  if (!compatible(shape, logical)) {
    fail(
        "a parameter stored as {} cannot have the logical shape {}: wanted OIHW with the same sizes and at most as many "
        "input channels",
        shape.string(), logical.string());
  }
}

void to_logical(const Parameter& parameter, std::span<const float> stored, std::span<float> values) {
  if (static_cast<int64_t>(stored.size()) != parameter.shape.size() ||
      static_cast<int64_t>(values.size()) != parameter.logical.size()) {
    fail("{}: got {} values and room for {}, but the parameter is stored as {} and has the logical shape {}", parameter.name,
         stored.size(), values.size(), parameter.shape.string(), parameter.logical.string());
  }
  for_each_element(parameter, [&](int64_t logical, int64_t index) {
    values[static_cast<size_t>(logical)] = stored[static_cast<size_t>(index)];
  });
}

std::vector<float> to_logical(const Parameter& parameter, const Tensor& stored) {
  if (stored.shape() != parameter.shape) {
    fail("{}: got a tensor of shape {}, but the parameter is stored as {}", parameter.name, stored.shape().string(),
         parameter.shape.string());
  }
  std::vector<float> values(static_cast<size_t>(parameter.logical.size()));
  to_logical(parameter, stored.to_vector(), values);
  return values;
}

void from_logical(const Parameter& parameter, std::span<const float> values, const Tensor& stored) {
  if (static_cast<int64_t>(values.size()) != parameter.logical.size()) {
    fail("{}: got {} values, wanted {} for shape {}", parameter.name, values.size(), parameter.logical.size(),
         parameter.logical.string());
  }
  std::vector<float> target(static_cast<size_t>(parameter.shape.size()), 0.0f);
  for_each_element(parameter, [&](int64_t logical, int64_t index) {
    target[static_cast<size_t>(index)] = values[static_cast<size_t>(logical)];
  });
  stored.copy_from(target);
}

}  // namespace residua
