#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/data/source.h"

namespace residua {

/// Digest of a text: FNV-1a, 16 hexadecimal digits.
std::string text_digest(std::string_view text);

/// Digest of a set of labeled images: FNV-1a over each image's label and path, in order, as 16 hexadecimal digits. Paths are
/// relative to the deepest common folder, so a data set that moves keeps its digest.
std::string set_digest(const ImageSource& source);

/// Describes how class names differ, for a message: "class 3 was 'cat' and is 'dog'". Empty if they are the same.
std::string different_class_names(const std::vector<std::string>& before, const std::vector<std::string>& now);

}  // namespace residua
