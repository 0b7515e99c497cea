#include "core/evaluate/view_images.h"

#include <algorithm>
#include <cmath>

#include "core/ops/prepare_input.h"

namespace residua {

std::map<int64_t, Image> view_images(EvaluationLoader& loader) {
  std::map<int64_t, Image> images;
  loader.start();
  for (auto batches = loader.next(); !batches.empty(); batches = loader.next()) {
    const Batch& batch = *batches.front();
    const Tensor x = prepare_input(batch.images, batch.views,
                                   {.height = batch.height,
                                    .width = batch.width,
                                    .channels = 3,
                                    .mean = full({3}, 0.0f, DType::f32),
                                    .inverse_std = full({3}, 1.0f, DType::f32)});
    const std::span<const float> pixels = x.span<float>();
    const auto of_view = static_cast<size_t>(batch.height * batch.width * 3);
    const auto views = static_cast<size_t>(loader.views(0));
    for (size_t s = 0; s < batch.samples.size(); ++s) {
      if (batch.labels.span<int32_t>()[s * views] < 0) {
        continue;
      }
      Image& image = images[batch.samples[s]];
      image.reset({batch.height, batch.width});
      std::ranges::transform(pixels.subspan(s * views * of_view, of_view), image.pixels.begin(),
                             [](float value) { return static_cast<uint8_t>(std::lround(std::clamp(value, 0.0f, 255.0f))); });
    }
  }
  return images;
}

}  // namespace residua
