#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/tensor/tensor.h"

namespace residua {

/// A rank has died, does not answer, or does not come to where the others wait.
class RankFailure : public Error {
 public:
  using Error::Error;
};

/// The ranks of a run: processes that train one network together, each on its share of every batch. Rank 0 leads: it writes the
/// run's files and its reports.
///
/// All ranks make the same calls in the same order, from one thread each. A call throws RankFailure, which names the rank, if
/// another rank has not made it within the limit.
///
/// The calls with tensors only start their work. It runs when the work queued on the compute stream so far is done, in the
/// order of the calls, while the compute stream goes on. Nobody may use the tensors until finish().
class Communicator {
 public:
  Communicator(int64_t rank, int64_t world) : rank_(rank), world_(world) {}
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int64_t rank() const { return rank_; }
  int64_t world() const { return world_; }
  bool alone() const { return world_ == 1; }
  bool leads() const { return rank_ == 0; }
  /// "rank 2 of 4 on node7, process 4711".
  virtual std::string describe(int64_t rank) const;
  /// Where the tensors are that it exchanges.
  virtual Device device() const { return {}; }

  /// The values of all ranks, in their order. Waits for them. For small values.
  virtual std::vector<std::string> gather(const std::string& value) = 0;

  /// x = the sum of x over the ranks. Every rank gets the same bits. 16-bit types are rounded at each addition.
  virtual void sum(const Tensor& x) = 0;
  /// x = x of rank 0.
  virtual void broadcast(const Tensor& x) = 0;
  /// x is [world, ...], and each rank has set the row of its number. Sets the other rows.
  virtual void gather_rows(const Tensor& x) = 0;
  /// Work queued on the compute stream from now on sees the results of all calls so far. On the CPU device it waits for them.
  virtual void finish() = 0;

  /// Call this after each launch of a graph that has captured calls, so that a launch that gets stuck is noticed.
  virtual void launched() {}
  /// Throws RankFailure if a rank has failed in calls that were started before. Call this before you use results that the host
  /// has read from a device: after a failure they are wrong.
  virtual void check() {}

  /// Ends all ranks at once with this exit code, whatever they do.
  [[noreturn]] virtual void abort(int code) = 0;

 private:
  int64_t rank_, world_;
};

/// One process: nothing is to be exchanged.
class OneProcess final : public Communicator {
 public:
  OneProcess() : Communicator(0, 1) {}
  std::vector<std::string> gather(const std::string& value) override { return {value}; }
  void sum(const Tensor&) override {}
  void broadcast(const Tensor&) override {}
  void gather_rows(const Tensor&) override {}
  void finish() override {}
  [[noreturn]] void abort(int code) override;
};

/// The value of rank 0.
std::string of_rank_0(Communicator& communicator, const std::string& value);
/// The largest value of any rank.
int64_t largest(Communicator& communicator, int64_t value);
/// values = the sum of values over the ranks, which must have equally many. Exact; waits for them.
void sum_values(Communicator& communicator, std::span<int64_t> values);

}  // namespace residua
