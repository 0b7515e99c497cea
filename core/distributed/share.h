#pragma once

#include <cstdint>

namespace residua {

/// The part of `count` things that belongs to a rank: consecutive ones, as many for each rank as for any other, or one fewer.
struct Share {
  int64_t first, count;
};
constexpr Share share_of(int64_t count, int64_t rank, int64_t world) {
  const int64_t first = count * rank / world;
  return {.first = first, .count = count * (rank + 1) / world - first};
}

}  // namespace residua
