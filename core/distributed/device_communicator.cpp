#include "core/distributed/device_communicator.h"

#include <utility>
#include <vector>

#include "core/device/device_api.h"
#include "core/distributed/device_watch.h"

namespace residua {
namespace {

using device_api::StreamKind;

/// Rank 0's id, at all ranks. If rank 0 cannot make one, all throw its error.
std::string common_id(HostCommunicator& host, Device device) {
  std::string id;
  std::string error;
  if (host.leads()) {
    try {
      id = device_api::collectives_id(device);
    } catch (const Error& failed) {
      error = failed.what();
    }
  }
  const std::string told = of_rank_0(host, error);
  if (!told.empty()) {
    fail("{}: {}", host.describe(0), told);
  }
  return of_rank_0(host, id);
}

/// Connects the devices. An error names the ranks that have not come.
std::unique_ptr<device_api::Collectives> connected(HostCommunicator& host, Device device, double limit) {
  const std::string id = common_id(host, device);
  try {
    return std::make_unique<device_api::Collectives>(device, id, host.rank(), host.world(), limit);
  } catch (const Error& error) {
    const std::string death = host.death();
    throw RankFailure(fmt::format("{}: {}{}", host.describe(host.rank()), error.what(), death.empty() ? "" : "; " + death));
  }
}

class DeviceCommunicator final : public Communicator {
 public:
  DeviceCommunicator(Device device, std::unique_ptr<HostCommunicator> host, double limit)
      : Communicator(host->rank(), host->world()),
        host_(std::move(host)),
        collectives_(connected(*host_, device, limit)),
        watch_(device, *collectives_, *host_, limit),
        device_(device),
        begun_(device),
        ended_(device) {}

  std::string describe(int64_t rank) const override { return host_->describe(rank); }
  Device device() const override { return device_; }

  std::vector<std::string> gather(const std::string& value) override {
    check();
    std::vector<std::string> values = host_->gather(value);
    check();
    return values;
  }

  void sum(const Tensor& x) override {
    start(x, [&] { collectives_->sum(x.data(), x.dtype(), x.size()); });
  }

  void broadcast(const Tensor& x) override {
    start(x, [&] { collectives_->broadcast(x.data(), x.dtype(), x.size()); });
  }

  void gather_rows(const Tensor& x) override {
    if (x.shape().rank() == 0 || x.dim(0) != world()) {
      fail("gather_rows: x is {}, wanted a row for each of {} ranks", x.shape().string(), world());
    }
    start(x, [&] { collectives_->gather_rows(x.data(), x.dtype(), x.size() / world()); });
  }

  void finish() override {
    if (in_use_.empty()) {
      return;
    }
    check();
    // Before the wait, so that the watch sees the work even if the wait blocks.
    if (!device_api::capturing()) {
      watch_.expect(StreamKind::communication);
    }
    ended_.record(StreamKind::communication);
    ended_.stream_wait(StreamKind::compute);
    in_use_.clear();
  }

  void launched() override {
    check();
    host_->set_progress(++calls_);
    watch_.expect(StreamKind::compute);
  }

  void check() override {
    if (const std::string failure = watch_.failure(); !failure.empty()) {
      throw RankFailure(failure);
    }
  }

  void abort(int code) override { host_->abort(code); }

 private:
  /// Queues `call` on the communication stream, after the work that the compute stream has so far.
  template <class Call>
  void start(const Tensor& x, const Call& call) {
    if (x.device() != device_) {
      fail("{} exchanges tensors of {}, got one on {}", describe(rank()), device_.string(), x.device().string());
    }
    check();
    host_->set_progress(++calls_);
    if (x.size() == 0) {
      return;
    }
    begun_.record(StreamKind::compute);
    begun_.stream_wait(StreamKind::communication);
    try {
      call();
    } catch (const Error& error) {
      // The watch ends the connection when it finds the reason.
      check();
      throw RankFailure(watch_.explained(error.what()));
    }
    in_use_.push_back(x);
  }

  std::unique_ptr<HostCommunicator> host_;
  std::unique_ptr<device_api::Collectives> collectives_;
  DeviceWatch watch_;
  const Device device_;
  device_api::Event begun_, ended_;
  std::vector<Tensor> in_use_;  // until finish(), so that nobody else gets their memory
  int64_t calls_ = 0;
};

}  // namespace

std::unique_ptr<Communicator> device_communicator(Device device, std::unique_ptr<HostCommunicator> host, double limit) {
  return std::make_unique<DeviceCommunicator>(device, std::move(host), limit);
}

}  // namespace residua
