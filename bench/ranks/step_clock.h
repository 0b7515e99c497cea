#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "core/device/device_api.h"

namespace residua::bench {

/// When a step's sums over the ranks could start, and what it waited for. In seconds since the step began.
struct StepTimes {
  struct Sum {
    int64_t bytes;
    double start;
  };
  double seconds = 0;  // of the whole step
  std::vector<Sum> sums = {};
  std::optional<double> waits_at = {};  // when it has queued all its sums; nothing if the host does not see that
  double waited = 0;                    // from then until the sums are there
};

/// The times of training steps, read from the device's clock: a reading does not wait. Steps that a graph replays have no times
/// but their own.
class StepClock {
 public:
  explicit StepClock(Device device) : device_(device) {}

  /// A step begins, and the one before it ends. What comes before the first step is not noted.
  void next_step() { note(What::step); }
  void sum_starts(int64_t bytes) { note(What::sum, bytes); }
  void wait_begins() { note(What::wait); }
  void wait_ends() { note(What::go_on); }

  /// The steps between the calls of next_step(). Waits for the device.
  std::vector<StepTimes> steps() const;

 private:
  enum class What : uint8_t { step, sum, wait, go_on };
  struct Note {
    Note(Device device, What w, int64_t b) : what(w), bytes(b), time(device) {}
    What what;
    int64_t bytes;
    device_api::Timestamp time;
  };

  void note(What what, int64_t bytes = 0);

  Device device_;
  std::deque<Note> notes_;
};

}  // namespace residua::bench
