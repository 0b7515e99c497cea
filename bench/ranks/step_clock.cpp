#include "bench/ranks/step_clock.h"

namespace residua::bench {

void StepClock::note(What what, int64_t bytes) {
  if (device_api::capturing() || (notes_.empty() && what != What::step)) {
    return;
  }
  notes_.emplace_back(device_, what, bytes).time.record();
}

std::vector<StepTimes> StepClock::steps() const {
  std::vector<StepTimes> all;
  const device_api::Timestamp* begin = nullptr;
  StepTimes step;
  for (const Note& note : notes_) {
    const double at = begin != nullptr ? note.time.seconds_since(*begin) : 0;
    switch (note.what) {
      case What::step:
        if (begin != nullptr) {
          step.seconds = at;
          all.push_back(std::move(step));
        }
        step = {};
        begin = &note.time;
        break;
      case What::sum: step.sums.push_back({.bytes = note.bytes, .start = at}); break;
      case What::wait: step.waits_at = at; break;
      case What::go_on: step.waited += at - step.waits_at.value_or(at); break;
    }
  }
  return all;
}

}  // namespace residua::bench
