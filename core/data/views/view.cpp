#include "core/data/views/view.h"

#include "core/base/error.h"

namespace residua {

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
