#include "core/distributed/tcp_communicator.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>

#include "core/base/join.h"
#include "core/distributed/tcp_links.h"

namespace residua {
namespace {

class TcpCommunicator final : public HostCommunicator {
 public:
  TcpCommunicator(const Launch& launch, double limit)
      : HostCommunicator(launch.rank, launch.world), limit_(limit), links_(launch, limit) {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    links_.set_names(gather(fmt::format("rank {} of {} on {}, process {},", rank(), world(), host.data(), ::getpid())));
  }

  std::string describe(int64_t rank) const override {
    const std::string name = links_.name(rank);
    return name.ends_with(',') ? name.substr(0, name.size() - 1) : name;
  }

  std::vector<std::string> gather(const std::string& value) override {
    if (static_cast<int64_t>(value.size()) > kMostValueBytes) {
      fail("a value of {} bytes is too long to exchange between ranks; at most {} can be", value.size(), kMostValueBytes);
    }
    ++gathers_;
    links_.count_gather();
    return leads() ? collect(value) : contribute(value);
  }

  void sum(const Tensor&) override { fail_for_tensors(); }
  void broadcast(const Tensor&) override { fail_for_tensors(); }
  void gather_rows(const Tensor&) override { fail_for_tensors(); }
  void finish() override {}

  void set_progress(int64_t calls) override {
    calls_ = calls;
    links_.set_calls(calls);
  }

  std::string who_is_behind() override {
    return behind([this](const RankStatus& status) { return status.calls < calls_; });
  }

  std::string death() override { return links_.death(); }

  void abort(int code) override {
    links_.send_to_all(FrameKind::abort, {reinterpret_cast<const char*>(&code), sizeof code});
    std::_Exit(code);
  }

 private:
  [[noreturn]] static void fail_for_tensors() {
    fail("ranks that are connected by TCP exchange no tensors: use NCCL on GPUs, or MPI (mpirun) on the CPU device");
  }

  /// Tells the ranks that this one is connected to first, so that they do not report that this one has ended.
  [[noreturn]] void fail_for_all(const std::string& what) {
    links_.send_to_all(FrameKind::failure, what);
    throw RankFailure(what);
  }

  std::vector<std::string> collect(const std::string& value) {
    const Deadline deadline = deadline_in(limit_);
    std::vector<std::string> values(static_cast<size_t>(world()));
    values[0] = value;
    int64_t bytes = 0;
    for (int64_t rank = 1; rank < world(); ++rank) {
      std::string& body = values[static_cast<size_t>(rank)];
      if (!links_.take(rank, body, deadline)) {
        fail_for_all(why_none_came(deadline));
      }
      bytes += static_cast<int64_t>(body.size());
    }
    if (bytes + world() * 8 + static_cast<int64_t>(value.size()) > kMostFrameBytes) {
      fail_for_all(fmt::format("the values of all ranks have {} bytes, at most {} can be exchanged", bytes, kMostFrameBytes));
    }
    const std::string all = packed(values);
    for (int64_t rank = 1; rank < world(); ++rank) {
      try {
        links_.send(rank, FrameKind::values, all, deadline_in(limit_));
      } catch (const ConnectionLost&) {
        links_.wait_for_end(rank, deadline_in(limit_));
        fail_for_all(why_none_came(Deadline::max()));
      } catch (const Error& error) {
        fail_for_all(fmt::format("{} does not take what the ranks exchange: {}", links_.name(rank), error.what()));
      }
    }
    return values;
  }

  std::vector<std::string> contribute(const std::string& value) {
    const Deadline deadline = deadline_in(limit_);
    std::string all;
    try {
      links_.send(0, FrameKind::value, value, deadline);
    } catch (const ConnectionLost&) {
      // The thread learns why.
    } catch (const Error&) {
      fail_for_all(why_none_came(deadline));
    }
    if (!links_.take(0, all, deadline)) {
      fail_for_all(why_none_came(deadline));
    }
    std::vector<std::string> values = unpacked(all);
    if (static_cast<int64_t>(values.size()) != world()) {
      fail("rank 0 sends the values of {} ranks, wanted {}", values.size(), world());
    }
    return values;
  }

  /// Why a gather got no answer.
  std::string why_none_came(Deadline deadline) {
    const bool late = std::chrono::steady_clock::now() >= deadline;
    std::string who;
    if (links_.death().empty()) {  // it may come while the others answer
      who = behind([&](const RankStatus& status) { return late && status.gathers < gathers_; });
    }
    if (const std::string death = links_.death(); !death.empty()) {
      return death;
    }
    const std::string what = late ? fmt::format("an exchange of values has taken longer than {:g} s", limit_)
                                  : std::string("an exchange of values cannot end");
    return fmt::format("{}: {}", what, who.empty() ? "all ranks answer, so the network may be down" : who);
  }

  /// Names the ranks for which `is_behind` holds, that are silent, or that have ended.
  template <class IsBehind>
  std::string behind(const IsBehind& is_behind) {
    const std::vector<RankStatus> table = links_.table();
    if (table.empty()) {
      return fmt::format("{} does not answer", links_.name(0));
    }
    std::vector<std::string> culprits;
    for (int64_t other = 0; other < std::ssize(table); ++other) {
      const RankStatus& status = table[static_cast<size_t>(other)];
      const char* how = nullptr;
      if (status.end != RankEnd::none) {
        how = status.end == RankEnd::dead ? "has died" : "has ended";
      } else if (status.silent != 0) {
        how = "does not answer";
      } else if (is_behind(status)) {
        how = "answers, but has not come so far";
      }
      if (other != rank() && how != nullptr) {
        culprits.push_back(fmt::format("{} {}", links_.name(other), how));
      }
    }
    return join(culprits, "; ");
  }

  const double limit_;
  mutable TcpLinks links_;
  int64_t gathers_ = 0;
  std::atomic<int64_t> calls_ = 0;
};

}  // namespace

std::unique_ptr<HostCommunicator> tcp_communicator(const Launch& launch, double limit) {
  return std::make_unique<TcpCommunicator>(launch, limit);
}

}  // namespace residua
