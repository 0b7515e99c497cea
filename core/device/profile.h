#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

/// Where the time of a step goes: while a Recorder lives, every kernel that this thread runs is timed, under the layer that
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

  double nested_seconds = 0;  // of the timers that have ended within the innermost one that runs

 private:
  std::map<Key, Entry> entries_;
};

/// The recorder of this thread, or null.
Recorder* active();

/// The layer that kernels are booked under: "layer1.0.conv1".
std::string_view layer();

/// Names the layer for as long as it lives. The name must live as long as the graph that is recorded meanwhile.
class Layer {
 public:
  explicit Layer(std::string_view name);
  ~Layer();
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;

 private:
  std::string_view previous_;
};

/// Times one kernel on the host, until it has ended, without the kernels timed meanwhile that it is composed of.
class Timer {
 public:
  explicit Timer(const std::type_info& contract) : contract_(contract) {
    if (Recorder* recorder = active()) {
      start_ = std::chrono::steady_clock::now();
      seconds_before_ = std::exchange(recorder->nested_seconds, 0);
    }
  }
  ~Timer() {
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
  std::chrono::steady_clock::time_point start_;
  double seconds_before_ = 0;  // of timers that ended before this one began, under the same outer one
};

}  // namespace residua::profile
