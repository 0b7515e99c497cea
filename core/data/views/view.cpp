#include "core/data/views/view.h"

#include "core/base/error.h"

namespace residua {

std::optional<ImageSize> size_of_views(const ViewPolicy& policy, int64_t crop_size, std::optional<ImageSize> images) {
  if (policy.most_pixels() == 0) {
    return ImageSize{crop_size, crop_size};
  }
  if (!images) {
    return {};
  }
  Random unused(0, RandomPurpose::augmentation, 0, 0);  // draws do not change the size
  const Rect window = policy.place(*images, unused, 0).resize.window;
  return ImageSize{window.height, window.width};
}

std::unique_ptr<const ViewPolicy> make_view(const Kinds<ViewKind>& kinds, std::string_view name, const ViewInput& input) {
  const ViewKind& kind = kinds.at("augment", name);
  if (input.crop_size < 1 || input.crop_size > kMaxCropSize) {
    fail_setting("crop-size", fmt::format("{}", input.crop_size), fmt::format("1 to {} pixels", kMaxCropSize));
  }
  return kind.make(input);
}

std::unique_ptr<const ViewPolicy> make_view(std::string_view name, int64_t crop_size) {
  return make_view(Kinds<ViewKind>(), name, {.crop_size = crop_size});
}

}  // namespace residua
