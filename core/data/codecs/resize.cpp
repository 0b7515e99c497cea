#include "core/data/codecs/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/error.h"

namespace residua {
namespace {

using Float4 [[gnu::vector_size(16)]] = float;

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

Float4 load(const float* from) {
  Float4 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void store(float* to, Float4 value) { std::memcpy(to, &value, sizeof value); }

/// Rows of floats are padded to whole blocks; a block stays in registers while a filter runs over it.
constexpr int64_t kBlock = 16;

/// out = sum over taps of weight * row.
void blend_rows(const std::vector<const float*>& rows, const float* weights, int64_t padded_width, float* out) {
  for (int64_t x = 0; x < padded_width; x += kBlock) {
    Float4 a{};
    Float4 b{};
    Float4 c{};
    Float4 d{};
    for (size_t t = 0; t < rows.size(); ++t) {
      const float* row = rows[t] + x;
      const float weight = weights[t];
      a += weight * load(row);
      b += weight * load(row + 4);
      c += weight * load(row + 8);
      d += weight * load(row + 12);
    }
    store(out + x, a);
    store(out + x + 4, b);
    store(out + x + 8, c);
    store(out + x + 12, d);
  }
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
  const int64_t first_row = rows.taps.front().first;
  const int64_t first_column = columns.taps.front().first;

  // A ring of source rows as floats, as many as the tallest filter needs, each converted once. Loads read one float past a
  // row's last pixel.
  int64_t ring = 0;
  for (const Taps& taps : rows.taps) {
    ring = std::max(ring, taps.count);
  }
  const int64_t width = region.width * 3;
  const int64_t padded_width = width / kBlock * kBlock + kBlock;  // at least one more float: loading a pixel reads four
  std::vector<float> converted(static_cast<size_t>(ring * padded_width));
  std::vector<float> blended(static_cast<size_t>(padded_width));
  std::vector<const float*> tap_rows;
  int64_t next_row = 0;
  for (int64_t y = 0; y < resize.window.height; ++y) {
    const Taps& taps = rows.taps[static_cast<size_t>(y)];
    const int64_t begin = taps.first - first_row;
    for (; next_row < begin + taps.count; ++next_row) {
      const uint8_t* from = region.row(next_row);
      float* to = converted.data() + next_row % ring * padded_width;
      for (int64_t x = 0; x < width; ++x) {
        to[x] = from[x];
      }
    }
    tap_rows.clear();
    for (int64_t t = 0; t < taps.count; ++t) {
      tap_rows.push_back(converted.data() + (begin + t) % ring * padded_width);
    }
    blend_rows(tap_rows, rows.weights.data() + taps.weights, padded_width, blended.data());

    for (const Taps& column : columns.taps) {
      const float* pixel = blended.data() + (column.first - first_column) * 3;
      const float* weight = columns.weights.data() + column.weights;
      // Start at 0.5, so that truncation rounds. A mean of bytes exceeds their range by less than 0.5.
      Float4 sum{0.5f, 0.5f, 0.5f, 0.5f};
      for (int64_t t = 0; t < column.count; ++t) {
        sum += weight[t] * load(pixel + 3 * t);
      }
      out[0] = static_cast<uint8_t>(static_cast<int>(sum[0]));
      out[1] = static_cast<uint8_t>(static_cast<int>(sum[1]));
      out[2] = static_cast<uint8_t>(static_cast<int>(sum[2]));
      out += 3;
    }
  }
}

}  // namespace residua
