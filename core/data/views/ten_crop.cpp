#include "core/data/views/ten_crop.h"

#include "core/data/views/center.h"

namespace residua {
namespace {

class TenCrop final : public ViewPolicy {
 public:
  explicit TenCrop(int64_t crop_size) : crop_size_(crop_size) {}

  int64_t count() const override { return 10; }

  PlacedView place(ImageSize size, Random& /*random*/, int64_t k) const override {
    const ImageSize resized = with_shorter_side(size, evaluation_side(crop_size_));
    const int64_t crop = k / 2;
    Rect window = centered(resized, {crop_size_, crop_size_});
    if (crop < 4) {
      window.top = crop / 2 == 0 ? 0 : resized.height - crop_size_;
      window.left = crop % 2 == 0 ? 0 : resized.width - crop_size_;
    }
    PlacedView placed{.resize = {.domain = whole(size), .resized = resized, .window = window}};
    placed.view.flip = static_cast<int32_t>(k % 2);
    return placed;
  }

 private:
  int64_t crop_size_;
};

}  // namespace

std::unique_ptr<const ViewPolicy> make_ten_crop(int64_t crop_size) { return std::make_unique<const TenCrop>(crop_size); }

}  // namespace residua
