#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

#include "core/device/timeline.h"

/// Profiling by layer: while a Recorder exists, every kernel that this thread runs is timed and assigned to the layer that
/// caused it.
namespace residua::profile {

/// The name of a kernel contract without its namespace: "ConvolutionForward".
std::string contract_name(const std::type_info& type);

struct Entry {
  int64_t calls = 0;
  double seconds = 0;
};

class Recorder {
 public:
  Recorder();
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  using Key = std::pair<std::string, std::string>;  // layer, kernel contract
  const std::map<Key, Entry>& entries() const { return entries_; }
  void add(std::string_view layer, const std::type_info& contract, double seconds);

  double nested_seconds = 0;  // total time of finished timers directly inside the innermost running one

 private:
  std::map<Key, Entry> entries_;
};

/// This thread's recorder, or null.
Recorder* active();

/// The current layer, which kernels are assigned to: "layer1.0.conv1".
std::string_view layer();

/// Sets the current layer while this object exists. The name must outlive any graph recorded in that time.
class Layer {
 public:
  explicit Layer(std::string_view name);
  ~Layer();
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

 private:
  std::string_view previous_;
};

/// Times one kernel on the host until it has ended. Kernels that it is composed of are timed separately and subtracted.
class Timer {
 public:
  explicit Timer(const std::type_info& contract) : contract_(contract), timeline_(Timeline::active()) {
    if (timeline_ != nullptr) {
      start_ = std::chrono::steady_clock::now();
    }
    if (Recorder* recorder = active()) {
      start_ = std::chrono::steady_clock::now();
      seconds_before_ = std::exchange(recorder->nested_seconds, 0);
    }
  }
  ~Timer() {
    if (timeline_ != nullptr) {
      timeline_->add(contract_name(contract_), std::string(layer()), start_, Timeline::Clock::now());
    }
    if (Recorder* recorder = active()) {
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
      recorder->add(layer(), contract_, seconds - recorder->nested_seconds);
      recorder->nested_seconds = seconds_before_ + seconds;
    }
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  const std::type_info& contract_;
  Timeline* timeline_;
  std::chrono::steady_clock::time_point start_;
  double seconds_before_ = 0;  // time of sibling timers that ended before this one started
};

}  // namespace residua::profile
