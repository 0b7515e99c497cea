#pragma once

#include <memory>

#include "core/data/views/view.h"

namespace residua {

/// The longest side of a view of a whole image, in shorter sides. It bounds the memory that one image can need.
inline constexpr int64_t kLongestView = 4;

/// The whole image with its shorter side resized to `shorter` pixels, then its mirror image. An image more than kLongestView
/// times as long as it is wide loses its ends: the center stays.
std::unique_ptr<const ViewPolicy> make_whole_image(int64_t shorter);

}  // namespace residua
