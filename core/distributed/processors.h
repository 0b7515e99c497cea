#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/distributed/communicator.h"

namespace residua {

/// The processors that a rank may run on: those that its launcher has bound it to, or all of its machine or container.
struct Affinity {
  std::string host;
  std::vector<int> processors;  // their numbers on this host
  int64_t of_launcher = 0;      // how many the process that has started the rank may run on
};

/// How many processors each rank uses. Ranks that may run on the same processor divide it; each gets at least one.
std::vector<int64_t> divide_processors(const std::vector<Affinity>& ranks);

/// Says which rank is bound to half of its part of a machine or less, and what to do; empty if none is.
std::string note_on_binding(const std::vector<Affinity>& ranks);

struct RankProcessors {
  int64_t count = 1;
  std::string note;  // for the user; the same on all ranks, mostly empty
};
/// The processors for this rank's compute threads, and for its threads that decode images. All ranks call this together.
RankProcessors processors_of_rank(Communicator& ranks);

}  // namespace residua
