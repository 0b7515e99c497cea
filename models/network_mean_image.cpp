// The mean image in a file of weights.
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/nn/state_dict.h"
#include "models/network.h"

namespace residua {

static_assert(std::string_view(kMeanImage).starts_with(kInputPrefix), "loading weights leaves it out");

std::vector<HostArray> input_arrays(const Network& network) {
  const InputDescription& input = network.input;
  if (input.mean.size() == 3) {
    return {};
  }
  return {host_array<float>(kMeanImage, {input.size, input.size, 3}, input.mean)};
}

std::vector<float> stored_mean_image(const Safetensors& file, int64_t size) {
  const HostArray* image = file.find(kMeanImage);
  if (image == nullptr) {
    return {};
  }
  if (image->dtype != DType::f32 || image->shape.size() != 3 || image->shape[0] != image->shape[1] || image->shape[2] != 3) {
    fail_usage("{}: its tensor {} is {} {}, wanted f32 [size, size, 3]", file.path, kMeanImage, name(image->dtype),
               shape_text(image->shape));
  }
  std::vector<float> values = image->to_floats();
  if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
    fail_usage("{}: its tensor {} has values that are not finite: the file is damaged", file.path, kMeanImage);
  }
  if (image->shape[0] != size) {
    const std::array<float, 3> means = channel_means(values);
    values.assign(means.begin(), means.end());
  }
  return values;
}

}  // namespace residua
