#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/data/data_errors.h"
#include "core/data/source.h"
#include "core/distributed/communicator.h"
#include "core/evaluate/image_results.h"
#include "core/kernels/accumulate_metrics.h"

namespace residua {

/// The images of a set that a rank evaluates: share_of() them. Null if there are fewer images than ranks and this one gets
/// none.
std::shared_ptr<const ImageSource> images_of_rank(const std::shared_ptr<const ImageSource>& images, const Communicator& ranks);

/// The totals of all ranks together. Counts are exact; losses are added in the order of the ranks.
MetricsTotals totals_of_all(Communicator& ranks, const MetricsTotals& own);

/// The answers of all ranks for a set of `images`, in the order of the set. `own` are this rank's, for images_of_rank().
std::vector<ImageResult> results_of_all(Communicator& ranks, int64_t images, const std::vector<ImageResult>& own);

/// The images that could not be read.
struct Unreadable {
  int64_t count = 0;
  std::string summary;  // of the first of each rank, a line each
};
/// Those of all ranks. `own` are this rank's; null for none.
Unreadable unreadable_of_all(Communicator& ranks, const DataErrors* own);

}  // namespace residua
