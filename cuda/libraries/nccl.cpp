// The connection of a device to those of other ranks: the part of core/device/device_backend.h that NCCL does.
#include "core/base/error.h"
#include "core/device/device_backend.h"

#ifndef RESIDUA_WITH_NCCL

namespace residua::cuda {
namespace {

constexpr const char* kReason = "this build has no NCCL: run tools/setup --cuda, or give -DNCCL_ROOT=<folder>, and build again";

}  // namespace

std::string why_no_collectives() { return kReason; }
std::string collectives_id(int) { fail("GPUs cannot be connected: {}", kReason); }
void* make_collectives(int, const std::string&, int64_t, int64_t, double) { fail("GPUs cannot be connected: {}", kReason); }
void drop_collectives(void*) noexcept {}
void sum_over_ranks(void*, void*, DType, int64_t) {}
void broadcast_to_ranks(void*, void*, DType, int64_t) {}
void gather_rows_of_ranks(void*, void*, DType, int64_t) {}
std::string collectives_failure(void*) { return ""; }
void abort_collectives(void*) noexcept {}

}  // namespace residua::cuda

#else

#include <nccl.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "core/base/warning.h"
#include "cuda/runtime/stream.h"

namespace residua::cuda {
namespace {

using Clock = std::chrono::steady_clock;

/// How often a waiting call looks whether NCCL has got on.
constexpr std::chrono::microseconds kLook{100};
/// The longest that an orderly end may take.
constexpr double kEndSeconds = 30;

void check(ncclResult_t result, const char* call) {
  if (result != ncclSuccess && result != ncclInProgress) {
    fail("{} failed: {} ({})", call, ncclGetErrorString(result), ncclGetLastError(nullptr));
  }
}

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return ncclFloat32;
    case DType::f16: return ncclFloat16;
    case DType::bf16: return ncclBfloat16;
    case DType::u8: return ncclUint8;
    case DType::i32: return ncclInt32;
    case DType::i64: return ncclInt64;
  }
  fail("NCCL does not know elements of type {}", name(dtype));
}

/// A communicator of NCCL. It is nonblocking, so that a call that waits for a dead rank can be given up.
class Nccl {
 public:
  Nccl(int device, const std::string& id, int64_t rank, int64_t world, double limit)
      : device_{Device::Type::cuda, device}, limit_(limit) {
    ncclUniqueId unique;
    if (id.size() != sizeof unique) {
      fail("an id of NCCL has {} bytes, got {}", sizeof unique, id.size());
    }
    std::memcpy(&unique, id.data(), sizeof unique);
    stream();  // makes the device the current one, which NCCL takes
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    std::unique_lock lock(mutex_);
    const ncclResult_t begun = ncclCommInitRankConfig(&comm_, static_cast<int>(world), unique, static_cast<int>(rank), &config);
    try {
      settle(lock, begun, "ncclCommInitRankConfig", limit_);
    } catch (const Error&) {
      lock.unlock();
      abort();
      throw;
    }
  }

  ~Nccl() {
    std::unique_lock lock(mutex_);
    try {
      if (comm_ != nullptr && std::uncaught_exceptions() == exceptions_ && failure_of(comm_).empty()) {
        settle(lock, ncclCommFinalize(comm_), "ncclCommFinalize", limit_ > 0 ? std::min(limit_, kEndSeconds) : kEndSeconds);
        check(ncclCommDestroy(std::exchange(comm_, nullptr)), "ncclCommDestroy");
      }
    } catch (const Error& error) {
      warn("the GPUs' connection did not end in order: {}", error.what());
    }
    lock.unlock();
    abort();
  }
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  void sum(void* data, DType dtype, int64_t size) {
    run("ncclAllReduce", [&](ncclComm_t comm, cudaStream_t on) {
      return ncclAllReduce(data, data, static_cast<size_t>(size), type_of(dtype), ncclSum, comm, on);
    });
  }

  void broadcast(void* data, DType dtype, int64_t size) {
    run("ncclBroadcast", [&](ncclComm_t comm, cudaStream_t on) {
      return ncclBroadcast(data, data, static_cast<size_t>(size), type_of(dtype), 0, comm, on);
    });
  }

  void gather_rows(void* data, DType dtype, int64_t row_size, int64_t rank) {
    const auto* own = static_cast<const std::byte*>(data) + rank * row_size * size_bytes(dtype);
    run("ncclAllGather", [&](ncclComm_t comm, cudaStream_t on) {
      return ncclAllGather(own, data, static_cast<size_t>(row_size), type_of(dtype), comm, on);
    });
  }

  std::string failure() {
    const std::lock_guard lock(mutex_);
    return comm_ == nullptr ? "the connection has been ended" : failure_of(comm_);
  }

  /// NCCL's abort waits for the end of graphs that have captured its work. So nobody may have to wait for it who owns one.
  void abort() {
    std::unique_lock lock(mutex_);
    const ncclComm_t ended = std::exchange(comm_, nullptr);
    lock.unlock();
    if (ended != nullptr) {
      if (const ncclResult_t result = ncclCommAbort(ended); result != ncclSuccess && result != ncclInProgress) {
        warn("ncclCommAbort failed: {}", ncclGetErrorString(result));
      }
    }
  }

 private:
  cudaStream_t stream() const {
    return static_cast<cudaStream_t>(cuda::stream(device_, device_api::StreamKind::communication).native());
  }

  static std::string failure_of(ncclComm_t comm) {
    ncclResult_t result = ncclSuccess;
    if (const ncclResult_t asked = ncclCommGetAsyncError(comm, &result); asked != ncclSuccess) {
      result = asked;
    }
    return result == ncclSuccess || result == ncclInProgress
               ? ""
               : fmt::format("{} ({})", ncclGetErrorString(result), ncclGetLastError(comm));
  }

  /// Waits until a call that goes on by itself has ended. Others may abort meanwhile.
  void settle(std::unique_lock<std::mutex>& lock, ncclResult_t result, const char* call, double limit) {
    const Clock::time_point start = Clock::now();
    while (result == ncclInProgress) {
      if (limit > 0 && Clock::now() - start > std::chrono::duration<double>(limit)) {
        fail("{} has taken longer than {:g} s: not all ranks have come to it", call, limit);
      }
      lock.unlock();
      std::this_thread::sleep_for(kLook);
      lock.lock();
      if (comm_ == nullptr) {
        fail("{}: the connection has been ended", call);
      }
      check(ncclCommGetAsyncError(comm_, &result), "ncclCommGetAsyncError");
    }
    check(result, call);
  }

  template <class Call>
  void run(const char* name, const Call& call) {
    const cudaStream_t on = stream();
    std::unique_lock lock(mutex_);
    if (comm_ == nullptr) {
      fail("{}: the connection has been ended", name);
    }
    settle(lock, call(comm_, on), name, limit_);
  }

  const Device device_;
  const double limit_;
  const int exceptions_ = std::uncaught_exceptions();
  std::mutex mutex_;
  ncclComm_t comm_ = nullptr;  // null once it has ended
};

struct Connection {
  Nccl nccl;
  int64_t rank;
};

Connection& of(void* collectives) { return *static_cast<Connection*>(collectives); }

}  // namespace

std::string why_no_collectives() { return ""; }

std::string collectives_id(int device) {
  stream({Device::Type::cuda, device}, device_api::StreamKind::communication);
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  return {id.internal, sizeof id.internal};
}

void* make_collectives(int device, const std::string& id, int64_t rank, int64_t world, double limit) {
  return new Connection{.nccl{device, id, rank, world, limit}, .rank = rank};
}

void drop_collectives(void* collectives) noexcept { delete static_cast<Connection*>(collectives); }

void sum_over_ranks(void* collectives, void* data, DType dtype, int64_t size) { of(collectives).nccl.sum(data, dtype, size); }

void broadcast_to_ranks(void* collectives, void* data, DType dtype, int64_t size) {
  of(collectives).nccl.broadcast(data, dtype, size);
}

void gather_rows_of_ranks(void* collectives, void* data, DType dtype, int64_t row_size) {
  of(collectives).nccl.gather_rows(data, dtype, row_size, of(collectives).rank);
}

std::string collectives_failure(void* collectives) { return of(collectives).nccl.failure(); }

void abort_collectives(void* collectives) noexcept { of(collectives).nccl.abort(); }

}  // namespace residua::cuda

#endif
