// NCCL for ranks that are threads of one process. A collective is a piece of work in each rank's queue. It runs when the queues
// of all ranks have come to it: the last one computes, the others wait for that.
#include "cuda/host/nccl/nccl.h"

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/dtype.h"
#include "cuda/host/collectives.h"
#include "cuda/host/queue.h"

namespace {

using residua::bf16;
using residua::f16;
using residua::host_cuda::CollectiveFaults;
using residua::host_cuda::Queue;

enum class Kind { sum, broadcast, gather };

/// One collective, as a rank sees it.
struct Part {
  Kind kind;
  ncclDataType_t type;
  size_t count;
  const void* from;
  void* to;
};

struct Round {
  std::vector<Part> parts;  // one for each rank, when all are there
  std::vector<int> ranks;
  bool done = false;
};

/// The ranks that share an id.
struct Group {
  int world = 0;
  int joined = 0;
  ncclResult_t error = ncclSuccess;
  std::deque<Round> rounds;
};

struct State {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<uint64_t, std::shared_ptr<Group>> groups;
  uint64_t next_id = 1;
  int64_t connections = 0;
  CollectiveFaults faults;
};

State& state() {
  static auto* const instance = new State;
  return *instance;
}

size_t bytes_of(ncclDataType_t type) {
  switch (type) {
    case ncclUint8: return 1;
    case ncclFloat16:
    case ncclBfloat16: return 2;
    case ncclInt32:
    case ncclFloat32: return 4;
    case ncclInt64: return 8;
  }
  return 0;
}

template <class T>
T plus(T a, T b) {
  return static_cast<T>(a + b);
}
template <>
f16 plus(f16 a, f16 b) {
  return residua::from_float<f16>(residua::to_float(a) + residua::to_float(b));
}
template <>
bf16 plus(bf16 a, bf16 b) {
  return residua::from_float<bf16>(residua::to_float(a) + residua::to_float(b));
}

/// Sums in the order of the ranks, and gives all the result.
template <class T>
void sum(const std::vector<Part>& parts) {
  for (size_t i = 0; i < parts[0].count; ++i) {
    T total = static_cast<const T*>(parts[0].from)[i];
    for (size_t rank = 1; rank < parts.size(); ++rank) {
      total = plus(total, static_cast<const T*>(parts[rank].from)[i]);
    }
    for (const Part& part : parts) {
      static_cast<T*>(part.to)[i] = total;
    }
  }
}

void compute_sum(const std::vector<Part>& parts) {
  switch (parts[0].type) {
    case ncclUint8: return sum<uint8_t>(parts);
    case ncclInt32: return sum<int32_t>(parts);
    case ncclInt64: return sum<int64_t>(parts);
    case ncclFloat16: return sum<f16>(parts);
    case ncclBfloat16: return sum<bf16>(parts);
    case ncclFloat32: return sum<float>(parts);
  }
}

void compute(const std::vector<Part>& parts) {
  const size_t bytes = parts[0].count * bytes_of(parts[0].type);
  if (bytes == 0) {
    return;
  }
  if (parts[0].kind == Kind::sum) {
    return compute_sum(parts);
  }
  for (const Part& part : parts) {
    if (part.kind == Kind::broadcast) {
      std::memmove(part.to, parts[0].from, bytes);
    }
    for (size_t rank = 0; part.kind == Kind::gather && rank < parts.size(); ++rank) {
      std::memmove(static_cast<std::byte*>(part.to) + rank * bytes, parts[rank].from, bytes);
    }
  }
}

/// What a rank's work shares with its handle.
struct Member {
  std::shared_ptr<Group> group;
  int rank = 0;
  size_t round = 0;  // of the next collective that runs
  bool aborted = false;
  int64_t captured = 0;  // collectives that graphs have captured
};

/// How long an abort waits for graphs, so that a deadlock ends.
constexpr std::chrono::seconds kLongestAbort{20};

/// Counts as a captured collective while it exists.
std::shared_ptr<void> captured_collective(const std::shared_ptr<Member>& member) {
  const std::lock_guard lock(state().mutex);
  ++member->captured;
  return {nullptr, [member](void*) {
            const std::lock_guard ends(state().mutex);
            --member->captured;
            state().changed.notify_all();
          }};
}

/// Takes part in the next round of the group. Returns when it is done, or the connection is aborted.
void run_part(Member& member, const Part& part) {
  State& all = state();
  std::unique_lock lock(all.mutex);
  Group& group = *member.group;
  if (group.rounds.size() <= member.round) {
    group.rounds.resize(member.round + 1);
  }
  const size_t number = member.round++;
  if (Round& round = group.rounds[number]; round.parts.empty()) {
    round.parts.resize(static_cast<size_t>(group.world));
  }
  group.rounds[number].parts[static_cast<size_t>(member.rank)] = part;
  group.rounds[number].ranks.push_back(member.rank);
  const auto stuck = [&] { return all.faults.never_done || all.faults.failing_rank >= 0 || group.error != ncclSuccess; };
  if (!stuck() && !member.aborted && std::ssize(group.rounds[number].ranks) == group.world) {
    for (const Part& other : group.rounds[number].parts) {
      if (other.kind != part.kind || other.type != part.type || other.count != part.count) {
        group.error = ncclInvalidUsage;
      }
    }
    if (group.error == ncclSuccess) {
      compute(group.rounds[number].parts);
      group.rounds[number].done = true;
    }
    all.changed.notify_all();
  }
  all.changed.wait(lock, [&] { return group.rounds[number].done || member.aborted; });
}

}  // namespace

struct ncclComm {
  std::shared_ptr<Member> member;
};

namespace {

ncclResult_t queue(const Part& part, ncclComm_t comm, cudaStream_t stream) {
  auto& queue = *static_cast<Queue*>(stream);
  const std::shared_ptr<void> captured = queue.capture() != nullptr ? captured_collective(comm->member) : nullptr;
  queue.enqueue([member = comm->member, part, captured] { run_part(*member, part); });
  return ncclSuccess;
}

/// As NCCL does, an abort ends the work that runs, then waits until no graph has captured any.
ncclResult_t drop(ncclComm_t comm, bool aborts) {
  std::unique_lock lock(state().mutex);
  Member& member = *comm->member;
  member.aborted = aborts;
  state().changed.notify_all();
  const bool free = !aborts || state().changed.wait_for(lock, kLongestAbort, [&] { return member.captured == 0; });
  --state().connections;
  delete comm;
  return free ? ncclSuccess : ncclInternalError;
}

}  // namespace

namespace residua::host_cuda {

void set_collective_faults(const CollectiveFaults& faults) {
  const std::lock_guard lock(state().mutex);
  state().faults = faults;
}

int64_t connections() {
  const std::lock_guard lock(state().mutex);
  return state().connections;
}

}  // namespace residua::host_cuda

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const std::lock_guard lock(state().mutex);
  std::memset(id, 0x5a, sizeof *id);
  std::memcpy(id->internal, &state().next_id, sizeof state().next_id);
  ++state().next_id;
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (config->blocking != 0 || rank < 0 || rank >= ranks) {
    return ncclInvalidArgument;
  }
  uint64_t key = 0;
  std::memcpy(&key, id.internal, sizeof key);
  const std::lock_guard lock(state().mutex);
  std::shared_ptr<Group>& group = state().groups[key];
  if (group == nullptr) {
    group = std::make_shared<Group>();
    group->world = ranks;
  }
  ++group->joined;
  ++state().connections;
  *comm = new ncclComm{std::make_shared<Member>(Member{.group = group, .rank = rank})};
  return ncclInProgress;
}

ncclResult_t ncclCommFinalize(ncclComm_t) { return ncclInProgress; }
ncclResult_t ncclCommDestroy(ncclComm_t comm) { return drop(comm, false); }
ncclResult_t ncclCommAbort(ncclComm_t comm) { return drop(comm, true); }

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const std::lock_guard lock(state().mutex);
  const Group& group = *comm->member->group;
  *error = group.joined < group.world                          ? ncclInProgress
           : comm->member->rank == state().faults.failing_rank ? ncclRemoteError
                                                               : group.error;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError    ? "remote process exited or there was a network error"
         : result == ncclInvalidUsage ? "invalid usage"
                                      : "internal error";
}

const char* ncclGetLastError(ncclComm_t) { return "the host stand-in for NCCL"; }

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t, ncclComm_t comm,
                           cudaStream_t stream) {
  return queue({Kind::sum, type, count, from, to}, comm, stream);
}

ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  return root == 0 ? queue({Kind::broadcast, type, count, from, to}, comm, stream) : ncclInvalidArgument;
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return queue({Kind::gather, type, count, from, to}, comm, stream);
}
