#include "core/data/codecs/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "core/data/codecs/scale_rows.h"

namespace residua {
namespace {

/// The source pixels [first, first + count) that an output pixel averages, and where its weights start.
struct Taps {
  int64_t first;
  int64_t count;
  size_t weights;
};

struct Axis {
  std::vector<Taps> taps;
  std::vector<float> weights;
};

/// The filter of outputs [begin, end) along an axis of `in` source pixels scaled to `out`.
Axis make_axis(int64_t in, int64_t out, int64_t begin, int64_t end) {
  const double step = static_cast<double>(in) / static_cast<double>(out);
  const double radius = std::max(step, 1.0);
  Axis axis;
  std::vector<double> weights;
  for (int64_t i = begin; i < end; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * step;
    int64_t first = std::max<int64_t>(0, static_cast<int64_t>(std::floor(center - radius - 0.5)));
    const int64_t last = std::min(in - 1, static_cast<int64_t>(std::ceil(center + radius - 0.5)));
    weights.clear();
    double sum = 0;
    for (int64_t j = first; j <= last; ++j) {
      const double weight = std::max(0.0, 1.0 - std::abs(static_cast<double>(j) + 0.5 - center) / radius);
      if (weight == 0.0 && weights.empty()) {
        ++first;
        continue;
      }
      weights.push_back(weight);
      sum += weight;
    }
    while (weights.back() == 0.0) {
      weights.pop_back();
    }
    axis.taps.push_back({.first = first, .count = static_cast<int64_t>(weights.size()), .weights = axis.weights.size()});
    for (const double weight : weights) {
      axis.weights.push_back(static_cast<float>(weight / sum));
    }
  }
  return axis;
}

Axis vertical_axis(const Resize& r) {
  return make_axis(r.domain.height, r.resized.height, r.window.top, r.window.top + r.window.height);
}
Axis horizontal_axis(const Resize& r) {
  return make_axis(r.domain.width, r.resized.width, r.window.left, r.window.left + r.window.width);
}

/// Both ends of the taps increase with the output's position, so the outermost outputs bound all of them.
Rect region_of(const Resize& r, const Axis& rows, const Axis& columns) {
  const int64_t top = rows.taps.front().first;
  const int64_t left = columns.taps.front().first;
  return {.top = r.domain.top + top,
          .left = r.domain.left + left,
          .height = rows.taps.back().first + rows.taps.back().count - top,
          .width = columns.taps.back().first + columns.taps.back().count - left};
}

bool is_copy(const Resize& r) { return ImageSize{r.domain.height, r.domain.width} == r.resized; }

void check(const Resize& r) {
  if (r.domain.height <= 0 || r.domain.width <= 0 || !contains(r.resized, r.window)) {
    fail("resize: cannot crop {} x {} pixels at ({}, {}) from {} x {} scaled to {} x {}", r.window.width, r.window.height,
         r.window.left, r.window.top, r.domain.width, r.domain.height, r.resized.width, r.resized.height);
  }
}

/// An axis whose outputs all have as many taps as the one with the most; weights of 0 fill up the others. So the inner loops
/// have a fixed length.
struct EvenAxis {
  std::vector<int32_t> first;  // relative to the first source pixel of all
  std::vector<float> weights;  // [outputs, taps]
  int64_t taps = 0;

  Filter filter() const {
    return {.outputs = static_cast<int64_t>(first.size()), .taps = taps, .first = first.data(), .weights = weights.data()};
  }
};

EvenAxis even(const Axis& axis) {
  EvenAxis result;
  for (const Taps& taps : axis.taps) {
    result.taps = std::max(result.taps, taps.count);
  }
  const int64_t begin = axis.taps.front().first;
  const int64_t end = axis.taps.back().first + axis.taps.back().count;
  for (const Taps& taps : axis.taps) {
    const int64_t first = std::min(taps.first, end - result.taps);  // at the end, the zeros come first
    result.first.push_back(static_cast<int32_t>(first - begin));
    const size_t place = result.weights.size() + static_cast<size_t>(taps.first - first);
    result.weights.resize(result.weights.size() + static_cast<size_t>(result.taps));
    std::copy_n(axis.weights.begin() + static_cast<int64_t>(taps.weights), taps.count,
                result.weights.begin() + static_cast<int64_t>(place));
  }
  return result;
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
  return region_of(resize, vertical_axis(resize), horizontal_axis(resize));
}

void scale(const Resize& resize, const Image& region, uint8_t* out) {
  check(resize);
  if (is_copy(resize) && region.size() == ImageSize{resize.window.height, resize.window.width}) {
    std::copy_n(region.pixels.data(), resize.window.height * resize.window.width * 3, out);
    return;
  }
  const Axis rows = vertical_axis(resize);
  const Axis columns = horizontal_axis(resize);
  const Rect source = region_of(resize, rows, columns);
  if (region.size() != ImageSize{source.height, source.width}) {
    fail("resize: got a region of {} x {} pixels, wanted {} x {}", region.width, region.height, source.width, source.height);
  }
  const EvenAxis vertical = even(rows);
  const EvenAxis horizontal = even(columns);
  std::vector<float> row(static_cast<size_t>(scale_row_floats(region.width)));
  scale_rows({.source = region.pixels.data(),
              .width = region.width,
              .vertical = vertical.filter(),
              .horizontal = horizontal.filter(),
              .row = row.data(),
              .out = out});
}

}  // namespace residua
