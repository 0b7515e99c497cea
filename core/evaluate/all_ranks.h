#pragma once

#include <cstdint>
#include <vector>

#include "core/distributed/communicator.h"
#include "core/evaluate/image_results.h"
#include "core/kernels/accumulate_metrics.h"

namespace residua {

/// The totals of all ranks together. Counts are exact; losses are added in the order of the ranks.
MetricsTotals totals_of_all(Communicator& ranks, const MetricsTotals& own);

/// The answers of all ranks for a set of `images`, in the order of the set. `own` are this rank's, for images_of_rank().
std::vector<ImageResult> results_of_all(Communicator& ranks, int64_t images, const std::vector<ImageResult>& own);

}  // namespace residua
