#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/data/data_errors.h"
#include "core/data/source.h"
#include "core/distributed/communicator.h"

namespace residua {

/// The images of a set that a rank reads where each is read once: share_of() them. Null if there are fewer images than ranks
/// and this one gets none.
std::shared_ptr<const ImageSource> images_of_rank(const std::shared_ptr<const ImageSource>& images, const Communicator& ranks);

/// The images that could not be read.
struct Unreadable {
  int64_t count = 0;
  std::string summary;  // of the first of each rank, a line each
};
/// Those of all ranks. `own` are this rank's; null for none.
Unreadable unreadable_of_all(Communicator& ranks, const DataErrors* own);

/// Merges what the ranks have found since the last call into the `errors` of each. Returns the messages of the images that no
/// rank had found before. If all ranks together are above the limit, all throw TooManyBadImages. One rank on its own only
/// returns what is new: the limit applies as it adds.
std::vector<std::string> merge_errors(Communicator& ranks, DataErrors& errors);

}  // namespace residua
