#include "cuda/host/capture.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"

namespace residua::host_cuda {

using device_api::StreamKind;

namespace {

size_t number(StreamKind stream) { return static_cast<size_t>(stream); }

}  // namespace

void Capture::add(StreamKind stream, Work work) {
  pieces_[number(stream)].push_back({.work = std::move(work)});
  order_.push_back(number(stream));
}

Capture::Point Capture::record(StreamKind stream) const {
  Point point = before_[number(stream)];
  point[number(stream)] = pieces_[number(stream)].size();
  return point;
}

void Capture::wait(StreamKind stream, StreamKind other, const Point& point) {
  pieces_[number(stream)].push_back({.work = {}, .other = other, .until = point[number(other)]});
  order_.push_back(number(stream));
  Point& before = before_[number(stream)];
  for (size_t i = 0; i < point.size(); ++i) {
    before[i] = std::max(before[i], point[i]);
  }
}

void Capture::check_joined() const {
  const Point end = record(StreamKind::compute);
  for (size_t stream = 0; stream < pieces_.size(); ++stream) {
    if (end[stream] != pieces_[stream].size()) {
      fail("the capture ends, but the compute stream does not wait for all work on another stream that is part of it");
    }
  }
}

void Capture::run_until(size_t stream, size_t count, Point& begun) const {
  while (begun[stream] < count) {
    const Piece& piece = pieces_[stream][begun[stream]++];
    piece.work ? piece.work() : run_until(number(piece.other), piece.until, begun);
  }
}

void Capture::run_eagerly() const {
  Point begun{};
  for (const size_t stream : order_) {
    run_until(stream, begun[stream] + 1, begun);
  }
}

void Capture::run_lazily() const {
  Point begun{};
  run_until(number(StreamKind::compute), pieces_[number(StreamKind::compute)].size(), begun);
}

}  // namespace residua::host_cuda
