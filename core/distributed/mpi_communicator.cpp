#include "core/distributed/mpi_communicator.h"

#ifndef RESIDUA_WITH_MPI

namespace residua {

bool built_with_mpi() { return false; }

std::unique_ptr<HostCommunicator> mpi_communicator(const Launch& launch, double) {
  fail_usage("{} started {} ranks, but this build has no MPI: install libopenmpi-dev and build again, or start one process",
             launch.launcher, launch.world);
}

}  // namespace residua

#else

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <utility>

#include "core/distributed/mpi_thread.h"

namespace residua {
namespace {

/// The most elements of one MPI call, whose counts are int.
constexpr int64_t kMostElements = int64_t{1} << 30;
/// How long an end or a question may take.
constexpr std::chrono::seconds kShort{5};

/// What an exchange works on. MPI may use it after a failure, so its call owns it.
struct Exchanged {
  Exchanged(std::string value, size_t ranks) : own(std::move(value)), lengths(ranks), starts(ranks) {}
  std::string own, all;
  std::vector<int> lengths, starts;
};

class MpiCommunicator final : public HostCommunicator {
 public:
  MpiCommunicator(const Launch& launch, double limit)
      : HostCommunicator(launch.rank, launch.world), mpi_(MpiThread::start(launch, limit)) {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    names_ = gather(fmt::format("rank {} of {} on {}, process {},", launch.rank, launch.world, host.data(), ::getpid()));
    mpi_->queue_alone([this](MpiThread& mpi) { mpi.set_names(names_); }).get();
  }

  std::string describe(int64_t rank) const override {
    const std::string& name = names_.at(static_cast<size_t>(rank));
    return name.substr(0, name.size() - 1);
  }

  std::vector<std::string> gather(const std::string& value) override {
    if (static_cast<int64_t>(value.size()) > INT_MAX / world()) {
      fail("a value of {} bytes is too long to exchange between {} ranks; at most {} can be", value.size(), world(),
           INT_MAX / world());
    }
    const auto ranks = static_cast<size_t>(world());
    const auto exchanged = std::make_shared<Exchanged>(value, ranks);
    const auto exchange = [x = exchanged, own = static_cast<int>(this->rank()), ranks](MpiThread& mpi) {
      MPI_Request request;
      x->lengths[static_cast<size_t>(own)] = static_cast<int>(x->own.size());
      RESIDUA_MPI(MPI_Iallgather, MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x->lengths.data(), 1, MPI_INT, MPI_COMM_WORLD, &request);
      mpi.finish(request);
      size_t total = 0;
      for (size_t rank = 0; rank < ranks; ++rank) {
        x->starts[rank] = static_cast<int>(total);
        total += static_cast<size_t>(x->lengths[rank]);
      }
      x->all.resize(total);
      RESIDUA_MPI(MPI_Iallgatherv, x->own.data(), static_cast<int>(x->own.size()), MPI_CHAR, x->all.data(), x->lengths.data(),
                  x->starts.data(), MPI_CHAR, MPI_COMM_WORLD, &request);
      mpi.finish(request);
    };
    mpi_->queue("an exchange of values", exchange).get();
    std::vector<std::string> values;
    for (size_t rank = 0; rank < ranks; ++rank) {
      values.push_back(
          exchanged->all.substr(static_cast<size_t>(exchanged->starts[rank]), static_cast<size_t>(exchanged->lengths[rank])));
    }
    return values;
  }

  void sum(const Tensor& x) override {
    start("a sum over the ranks", x, [](MpiThread& mpi, std::byte* data, int count, DType dtype, MPI_Request* request) {
      RESIDUA_MPI(MPI_Iallreduce, MPI_IN_PLACE, data, count, mpi.sums().type(dtype), mpi.sums().add(dtype), MPI_COMM_WORLD,
                  request);
    });
  }

  void broadcast(const Tensor& x) override {
    start("a broadcast", x, [](MpiThread& mpi, std::byte* data, int count, DType dtype, MPI_Request* request) {
      RESIDUA_MPI(MPI_Ibcast, data, count, mpi.sums().type(dtype), 0, MPI_COMM_WORLD, request);
    });
  }

  void gather_rows(const Tensor& x) override {
    if (x.shape().rank() == 0 || x.dim(0) != world()) {
      fail("gather_rows: x is {}, wanted a row for each of {} ranks", x.shape().string(), world());
    }
    check_cpu(x);
    pending_.push_back(mpi_->queue("an exchange of rows", [x, ranks = world()](MpiThread& mpi) {
      MPI_Request request;
      RESIDUA_MPI(MPI_Iallgather, MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x.data(), static_cast<int>(x.size() / ranks),
                  mpi.sums().type(x.dtype()), MPI_COMM_WORLD, &request);
      mpi.finish(request);
    }));
  }

  void finish() override {
    for (std::future<void>& call : pending_) {
      call.wait();
    }
    std::vector<std::future<void> > ended = std::move(pending_);
    pending_.clear();
    for (std::future<void>& call : ended) {
      call.get();
    }
  }

  void set_progress(int64_t calls) override { mpi_->progress = calls; }

  std::string who_is_behind() override {
    const std::string unknown = "the other ranks could not be asked";
    if (mpi_->failed()) {
      return unknown;
    }
    const auto answer = std::make_shared<std::promise<std::string> >();
    std::future<std::string> told = answer->get_future();
    mpi_->queue_alone([answer](MpiThread& mpi) { answer->set_value(mpi.who_is_behind()); });
    return told.wait_for(kShort) == std::future_status::ready ? told.get() : unknown;
  }

  std::string death() override { return ""; }

  void abort(int code) override {
    // If the thread does not come to it, the launcher still sees that this process ends without MPI_Finalize.
    mpi_->queue_alone([code](MpiThread&) { MPI_Abort(MPI_COMM_WORLD, code); }).wait_for(kShort);
    std::_Exit(code);
  }

 private:
  static void check_cpu(const Tensor& x) {
    if (x.device().type != Device::Type::cpu) {
      fail("MPI exchanges tensors of the CPU device, got one on {}", x.device().string());
    }
  }

  /// Queues a call for each part of x that one MPI call can take.
  template <class Begin>
  void start(const char* what, const Tensor& x, const Begin& begin) {
    check_cpu(x);
    pending_.push_back(mpi_->queue(
        what,
        [x, begin](MpiThread& mpi) {
          auto* data = static_cast<std::byte*>(x.data());
          for (int64_t first = 0; first < x.size(); first += kMostElements) {
            const int64_t count = std::min(kMostElements, x.size() - first);
            MPI_Request request;
            begin(mpi, data + first * size_bytes(x.dtype()), static_cast<int>(count), x.dtype(), &request);
            mpi.finish(request);
          }
        },
        fmt::format("{} bytes", x.bytes())));
  }

  std::unique_ptr<MpiThread> mpi_;
  std::vector<std::string> names_;  // with a comma at their end
  std::vector<std::future<void> > pending_;
};

}  // namespace

bool built_with_mpi() { return true; }

std::unique_ptr<HostCommunicator> mpi_communicator(const Launch& launch, double limit) {
  return std::make_unique<MpiCommunicator>(launch, limit);
}

}  // namespace residua

#endif
