#pragma once

#include <string>
#include <vector>

#include "bench/ranks/step_clock.h"
#include "core/distributed/communicator.h"

namespace residua::bench {

/// Ranks that note their sums and waits on a clock. A wait is what a trace of train-imagenet calls "waiting for the ranks". For
/// comparison they can hold all sums of a step back until it waits for them.
class TimedRanks final : public Communicator {
 public:
  /// `world` is that of `ranks`. One process may be given more: it then does what a rank does, but exchanges nothing.
  TimedRanks(Communicator& ranks, StepClock& clock, int64_t world)
      : Communicator(ranks.rank(), world), ranks_(ranks), clock_(clock) {}

  std::string describe(int64_t rank) const override { return ranks_.describe(rank); }
  std::vector<std::string> gather(const std::string& value) override { return ranks_.gather(value); }
  void sum(const Tensor& x) override {
    clock_.sum_starts(x.bytes());
    hold_ ? held_.push_back(x) : ranks_.sum(x);
  }
  void broadcast(const Tensor& x) override { ranks_.broadcast(x); }
  void gather_rows(const Tensor& x) override { ranks_.gather_rows(x); }
  void finish() override {
    clock_.wait_begins();
    for (const Tensor& x : held_) {
      ranks_.sum(x);
    }
    held_.clear();
    ranks_.finish();
    clock_.wait_ends();
  }
  void launched() override { ranks_.launched(); }
  void check() override { ranks_.check(); }
  void abort(int code) override { ranks_.abort(code); }

  /// Whether sums that come from now on start only with the next finish(): then nothing runs beside them.
  void hold(bool held) { hold_ = held; }

 private:
  Communicator& ranks_;
  StepClock& clock_;
  bool hold_ = false;
  std::vector<Tensor> held_;
};

}  // namespace residua::bench
