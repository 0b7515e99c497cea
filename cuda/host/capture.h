#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/device/device_api.h"

namespace residua::host_cuda {

/// The work of a graph: that of each stream in its order, and where streams wait for each other.
class Capture {
 public:
  using Work = std::function<void()>;
  /// How many pieces of each stream come before a point.
  using Point = std::array<size_t, device_api::kStreamKinds>;

  void add(device_api::StreamKind stream, Work work);
  /// The end of a stream's work so far, for an event.
  Point record(device_api::StreamKind stream) const;
  /// The stream's next work comes after `point` of the other stream.
  void wait(device_api::StreamKind stream, device_api::StreamKind other, const Point& point);
  /// Throws Error if the compute stream does not wait for all of another stream's work.
  void check_joined() const;

  /// Runs everything in the order in which it was queued.
  void run_eagerly() const;
  /// Runs the compute stream's work, and that of the others only where it is waited for.
  void run_lazily() const;

 private:
  struct Piece {
    Work work;  // empty: waits for `until` of the pieces of `other`
    device_api::StreamKind other = device_api::StreamKind::compute;
    size_t until = 0;
  };
  void run_until(size_t stream, size_t count, Point& begun) const;

  std::array<std::vector<Piece>, device_api::kStreamKinds> pieces_;
  std::array<Point, device_api::kStreamKinds> before_{};  // what comes before each stream's next piece
  std::vector<size_t> order_;                             // the streams of all pieces
};

}  // namespace residua::host_cuda
