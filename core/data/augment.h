#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/random.h"
#include "core/data/codecs/image.h"
#include "core/data/codecs/resize.h"
#include "core/kernels/augment_input.h"

namespace residua {

/// What becomes of one sample: first, on a loader thread, `resize` makes the square source image; then, on the device, the
/// network's input window is cut out of that at (top, left), zero outside of it, mirrored, and its colors shifted
/// (core/kernels/prepare_input.h).
struct Placement {
  Resize resize;
  int32_t top = 0;
  int32_t left = 0;
  bool flip = false;
  std::array<float, 3> color_shift = {};  // of red, green and blue, of 255
};

/// The placement as the device's route takes it (core/kernels/augment_input.h), whose source is source_region(placement.resize)
/// as decoded, `offset` bytes into a buffer.
AugmentImage augment_image(const Placement& placement, int64_t offset);

/// A policy: draws the placement of a sample of a given size. Every placement's window is crop_size x crop_size.
class Augmentation {
 public:
  virtual ~Augmentation() = default;
  virtual Placement place(ImageSize size, Random& random) const = 0;
};

/// The training policies:
/// * `none`: the evaluation window;
/// * `flip`: the evaluation window, mirrored half of the time;
/// * `pad-crop`: 4 pixels of zeros around the evaluation window, a random window of that, flip (He et al. 2015, section 4.2);
/// * `random-resized-crop`: a random rectangle of 8 to 100 % of the area and aspect 3/4 to 4/3, scaled to the crop, flip
///   (Szegedy et al. 2015; torchvision's RandomResizedCrop, with its ten tries and its fallback);
/// * `scale-crop`: shorter side uniform in [256, 480] (times crop_size / 224), a random crop of that, flip, and one shift
///   of all its colors, N(0, 0.1) times the eigenvalue along each eigenvector of the covariance of ImageNet's (He et al. 2015,
///   section 3.4; Krizhevsky et al. 2012, section 4.1).
///
/// Fails with UsageError on another name or a crop size outside 1..4096.
std::unique_ptr<const Augmentation> make_augmentation(std::string_view name, int64_t crop_size);

/// The evaluation window: shorter side scaled to crop_size * 256 / 224, center crop. An image of exactly the crop size stays as
/// it is.
std::unique_ptr<const Augmentation> make_evaluation(int64_t crop_size);

std::vector<std::string> augmentation_names();

}  // namespace residua
