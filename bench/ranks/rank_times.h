#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "bench/ranks/step_clock.h"
#include "core/distributed/communicator.h"

namespace residua::bench {

/// The middle one, or the mean of the two middle ones. `values` is not empty.
double median(std::vector<double> values);

/// The steps of all ranks.
struct RankTimes {
  std::vector<double> seconds;         // of each step, of the slowest rank
  std::vector<double> waiting_shares;  // of each rank: seconds waited / seconds; empty if a rank's host does not see that
};
/// All ranks give their own steps. One process has no waiting share, and makes no call.
RankTimes of_all_ranks(Communicator& ranks, const std::vector<StepTimes>& own);
/// For each call, the time of the slowest rank. All ranks have made as many.
std::vector<double> slowest_of_ranks(Communicator& ranks, const std::vector<double>& own);

/// The medians over the steps: {"sums": [{"bytes", "start_ms"}], "waits_at_ms", "waited_ms"}, in milliseconds; starts since the
/// step began.
nlohmann::json sum_times(const std::vector<StepTimes>& steps);

}  // namespace residua::bench
