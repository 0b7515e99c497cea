#pragma once

#include <string>

#include "core/data/statistics.h"

namespace residua {

/// measure_images(), or its result from an earlier call. A result is kept as a file in `folder`, under a digest of the images'
/// names, labels, byte counts and bytes. Of more than 4096 images a sample of the bytes counts. A damaged file is measured
/// again; a folder that cannot be written costs only time: both are warnings. An empty `folder` keeps nothing. Several ranks
/// measure together unless each finds a result.
ImageStatistics measure_images_once(const std::string& folder, const std::shared_ptr<const ImageSource>& source, int64_t size,
                                    const LoaderOptions& options, const MeasureProgress& progress = {},
                                    Communicator* ranks = nullptr);

}  // namespace residua
