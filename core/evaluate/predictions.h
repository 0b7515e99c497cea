#pragma once

#include <span>
#include <string>

#include "core/data/source.h"
#include "core/evaluate/image_results.h"

namespace residua {

/// Writes one JSON object a line for each result: {"index", "name", "label", "class", "loss", "top5": [{"label", "class",
/// "probability"}]}, the most probable class first. Replaces `path` atomically.
void write_predictions(const std::string& path, std::span<const ImageResult> results, const ImageSource& source);

}  // namespace residua
