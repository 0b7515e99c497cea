#include "core/distributed/device_watch.h"

#include <signal.h>

#include <algorithm>
#include <utility>

namespace residua {
namespace {

constexpr std::chrono::milliseconds kLook{100};
/// A connection often fails a moment before it is known which rank has died.
constexpr std::chrono::seconds kDeathIsKnown{2};

}  // namespace

DeviceWatch::DeviceWatch(Device device, device_api::Collectives& collectives, HostCommunicator& host, double limit)
    : device_(device), collectives_(collectives), host_(host), limit_(limit), thread_([this] { work(); }) {}

DeviceWatch::~DeviceWatch() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void DeviceWatch::expect(device_api::StreamKind stream) {
  std::unique_ptr<device_api::Event> event;
  {
    const std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      event = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  if (event == nullptr) {
    event = std::make_unique<device_api::Event>(device_);
  }
  event->record(stream);
  const std::lock_guard lock(mutex_);
  points_.push_back({.event = std::move(event), .queued = Clock::now()});
}

std::string DeviceWatch::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::string DeviceWatch::explained(const std::string& what) const {
  const Clock::time_point start = Clock::now();
  std::string blame = host_.death();
  while (blame.empty() && Clock::now() - start < kDeathIsKnown) {
    std::this_thread::sleep_for(kLook);
    blame = host_.death();
  }
  if (blame.empty()) {
    blame = host_.who_is_behind();
  }
  return fmt::format(
      "{}: {}", what,
      blame.empty() ? "all ranks answer and have come to it, so the network between the GPUs may be down" : blame);
}

std::string DeviceWatch::look_at_points() {
  const std::lock_guard lock(mutex_);
  while (!points_.empty() && points_.front().event->reached()) {
    spare_.push_back(std::move(points_.front().event));
    points_.pop_front();
    last_passed_ = Clock::now();
  }
  if (limit_ <= 0 || points_.empty()) {
    return "";
  }
  const auto waits = Clock::now() - std::max(points_.front().queued, last_passed_);
  return waits > std::chrono::duration<double>(limit_)
             ? fmt::format("an exchange between the GPUs has taken longer than {:g} s", limit_)
             : "";
}

std::string DeviceWatch::look() {
  if (const std::string death = host_.death(); !death.empty()) {
    return death;
  }
  try {
    if (const std::string failure = collectives_.failure(); !failure.empty()) {
      return explained(fmt::format("the connection between the GPUs has failed: {}", failure));
    }
    const std::string stuck = look_at_points();
    return stuck.empty() ? "" : explained(stuck);
  } catch (const Error& error) {
    return error.what();
  }
}

void DeviceWatch::work() {
  // Signals are for the thread that trains.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kLook, [this] { return ends_; })) {
    lock.unlock();
    const std::string failure = look();
    lock.lock();
    if (!failure.empty()) {
      failure_ = failure;
      lock.unlock();
      collectives_.abort();
      return;
    }
  }
}

}  // namespace residua
