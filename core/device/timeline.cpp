#include "core/device/timeline.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace residua::profile {

std::atomic<Timeline*> Timeline::active_ = nullptr;

namespace {

std::atomic<int64_t> next_thread = 0;
thread_local int64_t own_thread = -1;

double microseconds(Timeline::Clock::duration duration) { return std::chrono::duration<double, std::micro>(duration).count(); }

}  // namespace

void Timeline::stop() {
  Timeline* self = this;
  active_.compare_exchange_strong(self, nullptr);
}

void Timeline::add(std::string name, std::string about, Clock::time_point begin, Clock::time_point end) {
  if (own_thread < 0) {
    own_thread = next_thread++;
  }
  const std::lock_guard lock(mutex_);
  events_.push_back({.name = std::move(name), .about = std::move(about), .thread = own_thread, .begin = begin, .end = end});
}

nlohmann::json Timeline::events(int64_t process) const {
  const std::lock_guard lock(mutex_);
  nlohmann::json all = nlohmann::json::array();
  for (const Event& event : events_) {
    all.push_back({{"name", event.name},
                   {"ph", "X"},
                   {"ts", microseconds(event.begin.time_since_epoch())},
                   {"dur", microseconds(event.end - event.begin)},
                   {"pid", process},
                   {"tid", event.thread},
                   {"args", {{"about", event.about}}}});
  }
  return all;
}

}  // namespace residua::profile
