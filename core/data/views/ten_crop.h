#pragma once

#include <memory>

#include "core/data/views/view.h"

namespace residua {

/// The ten views of Krizhevsky et al. 2012, section 4.1: four corners and the center, and their mirror images. The crops are
/// from the whole image with its shorter side resized to evaluation_side(crop_size), as in fb.resnet.torch and torchvision.
/// Views 2k and 2k + 1 are crop k and its mirror image; the crops are top left, top right, bottom left, bottom right, center.
std::unique_ptr<const ViewPolicy> make_ten_crop(int64_t crop_size);

}  // namespace residua
