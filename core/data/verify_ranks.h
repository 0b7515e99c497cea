#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/data/source.h"
#include "core/data/verify.h"
#include "core/distributed/communicator.h"

namespace residua {

using Splits = std::vector<std::pair<Split, const ImageSource*>>;

/// What is remembered of an image, to find equal ones.
struct Seen {
  uint64_t hash = 0;
  uint64_t bytes = 0;
  bool readable = false;

  bool same_bytes(const Seen& other) const { return hash == other.hash && bytes == other.bytes; }
};

/// A finding, and the number of the image or class that it is about.
struct Found {
  Finding finding;
  int64_t number;
};

/// Throws Disagreement unless all ranks have the same images, and cannot open the same splits.
void check_same_images(Communicator& ranks, const Splits& splits, const std::vector<Finding>& unopened);
/// Gives each rank what the others have seen. What a rank has not seen is zero.
void share(Communicator& ranks, std::vector<Seen>& seen);
/// Gives each rank what the others have found, in the order of the ranks.
void share(Communicator& ranks, std::vector<Found>& found);

}  // namespace residua
