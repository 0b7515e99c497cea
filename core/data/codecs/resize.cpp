#include "core/data/codecs/resize.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/data/codecs/scale_rows.h"

namespace residua {
namespace {

/// The source pixels [first, first + count) that an output pixel averages.
struct Taps {
  int64_t first;
  int64_t count;
};

/// An axis of `in` source pixels scaled to `out`, of which the outputs [begin, begin + count) are wanted.
struct Axis {
  int64_t in, out, begin, count;

  double step() const { return static_cast<double>(in) / static_cast<double>(out); }
  double radius() const { return std::max(step(), 1.0); }
  double center(int64_t output) const { return (static_cast<double>(begin + output) + 0.5) * step(); }
  /// The pixels whose centers are less than the radius away.
  Taps taps(int64_t output) const {
    const double middle = center(output) - 0.5;
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(std::floor(middle - radius())) + 1);
    const int64_t last = std::min(in - 1, static_cast<int64_t>(std::ceil(middle + radius())) - 1);
    return {first, last - first + 1};
  }
  /// All of them. Both ends of the taps increase with the output, so the outermost outputs bound all others.
  Taps source() const {
    const Taps back = taps(count - 1);
    const int64_t first = taps(0).first;
    return {first, back.first + back.count - first};
  }
};

Axis vertical_axis(const Resize& r) { return {r.domain.height, r.resized.height, r.window.top, r.window.height}; }
Axis horizontal_axis(const Resize& r) { return {r.domain.width, r.resized.width, r.window.left, r.window.width}; }

bool is_copy(const Resize& r) { return ImageSize{r.domain.height, r.domain.width} == r.resized; }

void check(const Resize& r) {
  if (r.domain.height <= 0 || r.domain.width <= 0 || !contains(r.resized, r.window)) {
    fail("resize: cannot crop {} x {} pixels at ({}, {}) from {} x {} scaled to {} x {}", r.window.width, r.window.height,
         r.window.left, r.window.top, r.domain.width, r.domain.height, r.resized.width, r.resized.height);
  }
}

/// Makes the filter of an axis in `memory`. All outputs have as many taps as the one with the most, so that the inner loops
/// have a fixed length; weights of 0 fill up the others.
Filter make_filter(const Axis& axis, ResizeMemory::Axis& memory) {
  int64_t most = 0;
  for (int64_t i = 0; i < axis.count; ++i) {
    most = std::max(most, axis.taps(i).count);
  }
  memory.first.resize(static_cast<size_t>(axis.count));
  memory.weights.assign(static_cast<size_t>(axis.count * most), 0.0f);
  const Taps source = axis.source();
  const double radius = axis.radius();
  for (int64_t i = 0; i < axis.count; ++i) {
    const Taps taps = axis.taps(i);
    const auto weight = [&](int64_t t) {
      return std::max(0.0, 1.0 - std::abs(static_cast<double>(taps.first + t) + 0.5 - axis.center(i)) / radius);
    };
    double sum = 0;
    for (int64_t t = 0; t < taps.count; ++t) {
      sum += weight(t);
    }
    const int64_t first = std::min(taps.first, source.first + source.count - most);  // at the end, the zeros come first
    memory.first[static_cast<size_t>(i)] = static_cast<int32_t>(first - source.first);
    float* weights = memory.weights.data() + i * most + taps.first - first;
    for (int64_t t = 0; t < taps.count; ++t) {
      weights[t] = static_cast<float>(weight(t) / sum);
    }
  }
  return {.outputs = axis.count, .taps = most, .first = memory.first.data(), .weights = memory.weights.data()};
}

}  // namespace

ImageSize with_shorter_side(ImageSize size, int64_t shorter) {
  if (size.height <= size.width) {
    return {shorter, shorter * size.width / size.height};
  }
  return {shorter * size.height / size.width, shorter};
}

Rect bounding(const Rect& a, const Rect& b) {
  const int64_t top = std::min(a.top, b.top);
  const int64_t left = std::min(a.left, b.left);
  return {top, left, std::max(a.top + a.height, b.top + b.height) - top, std::max(a.left + a.width, b.left + b.width) - left};
}

Rect source_region(const Resize& resize) {
  check(resize);
  if (is_copy(resize)) {
    const Rect& window = resize.window;
    return {.top = resize.domain.top + window.top,
            .left = resize.domain.left + window.left,
            .height = window.height,
            .width = window.width};
  }
  const Taps rows = vertical_axis(resize).source();
  const Taps columns = horizontal_axis(resize).source();
  return {.top = resize.domain.top + rows.first,
          .left = resize.domain.left + columns.first,
          .height = rows.count,
          .width = columns.count};
}

void scale(const Resize& resize, const Image& region, uint8_t* out, ResizeMemory& memory) {
  check(resize);
  if (is_copy(resize) && region.size() == ImageSize{resize.window.height, resize.window.width}) {
    std::copy_n(region.pixels.data(), resize.window.height * resize.window.width * 3, out);
    return;
  }
  const Axis vertical = vertical_axis(resize);
  const Axis horizontal = horizontal_axis(resize);
  if (const ImageSize wanted{vertical.source().count, horizontal.source().count}; region.size() != wanted) {
    fail("resize: got a region of {} x {} pixels, wanted {} x {}", region.width, region.height, wanted.width, wanted.height);
  }
  memory.row.resize(static_cast<size_t>(scale_row_floats(region.width)));
  scale_rows({.source = region.pixels.data(),
              .width = region.width,
              .vertical = make_filter(vertical, memory.vertical),
              .horizontal = make_filter(horizontal, memory.horizontal),
              .row = memory.row.data(),
              .out = out});
}

}  // namespace residua
