#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/device/device_api.h"
#include "core/distributed/host_communicator.h"

namespace residua {

/// A thread that notices when collectives of a device fail or get stuck. It then ends them, so that a host that waits for the
/// device goes on, and says why.
class DeviceWatch {
 public:
  DeviceWatch(Device device, device_api::Collectives& collectives, HostCommunicator& host, double limit);
  ~DeviceWatch();
  DeviceWatch(const DeviceWatch&) = delete;
  DeviceWatch& operator=(const DeviceWatch&) = delete;

  /// Work up to this point of a stream must end within the limit after the work up to the last point has.
  void expect(device_api::StreamKind stream);
  /// What has failed; empty if nothing has.
  std::string failure() const;
  /// Says which ranks are to blame for `what`.
  std::string explained(const std::string& what) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Point {
    std::unique_ptr<device_api::Event> event;
    Clock::time_point queued;
  };

  void work();
  /// What has failed now; empty if nothing has.
  std::string look();
  std::string look_at_points();

  const Device device_;
  device_api::Collectives& collectives_;
  HostCommunicator& host_;
  const double limit_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Point> points_;
  std::vector<std::unique_ptr<device_api::Event>> spare_;
  Clock::time_point last_passed_ = Clock::now();
  std::string failure_;
  bool ends_ = false;
  std::thread thread_;  // last, so that it ends before what it uses
};

}  // namespace residua
