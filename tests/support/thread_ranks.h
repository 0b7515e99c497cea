#pragma once

#include <cstdint>
#include <functional>

#include "core/distributed/communicator.h"

namespace residua::test {

/// When a sum or an exchange of rows happens: in the call that starts it, or in finish().
enum class Timing : uint8_t { early, late };

/// Runs f as each of `world` ranks, on threads of this process. They take turns: one runs until it waits for the others or
/// ends, so f shares no memory with another that runs. Tensors may be on any device.
///
/// By default, communication is as late as the interface allows: a sum or an exchange of rows happens in finish(), not before.
/// If the ranks make different calls, these throw RankFailure. Throws what the first rank that failed has thrown; the ranks
/// that wait for it end with RankFailure.
void run_ranks(int64_t world, const std::function<void(Communicator& ranks)>& f, Timing timing = Timing::late);

}  // namespace residua::test
