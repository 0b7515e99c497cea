#pragma once

#include <map>

#include "core/data/codecs/image.h"
#include "core/evaluate/evaluation_loader.h"

namespace residua {

/// What a network sees of each image of the loader's source, as 8-bit RGB before normalization: the first view of the first
/// pass, by the image's index in that source. Images that cannot be read are missing. The loader's batches must be in host
/// memory, as they are before an upload.
std::map<int64_t, Image> view_images(EvaluationLoader& loader);

}  // namespace residua
