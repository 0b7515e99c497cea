#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/data/source.h"

namespace residua {

/// Tells one text from another: 16 hexadecimal digits, FNV-1a.
std::string text_digest(std::string_view text);

/// Tells one set of labeled images from another: 16 hexadecimal digits, FNV-1a over each image's path, relative to the folder
/// that all of them lie in, and its label, in order. A set that was moved keeps its digest.
std::string set_digest(const ImageSource& source);

/// How the names of classes differ, for a message: "class 3 was 'cat' and is 'dog'". Empty where they are the same.
std::string different_class_names(const std::vector<std::string>& before, const std::vector<std::string>& now);

}  // namespace residua
