#pragma once

#include "core/cpu/parallel.h"
#include "core/cpu/pool_window.h"
#include "core/cpu/vec.h"
#include "core/kernels/pooling.h"

/// Max pooling over values computed from pixels, and its backward. For files in core/cpu/isa.
namespace residua::cpu::RESIDUA_ISA {
namespace {

/// A rectangle of pixels whose rows are `pitch` elements apart. Functions also take its size as template arguments, so that
/// loops unroll; 0 means unknown.
struct Rectangle {
  int64_t rows, columns, pitch;
};

/// The maximum of the rectangle that starts at element `from` of x, and the window position of its first winner. `place` is the
/// window position of the rectangle's start.
template <int64_t Rows, int64_t Columns, class Reader, class Finish>
RESIDUA_INLINE void maximum(int64_t from, int64_t out, Rectangle rectangle, int64_t channels, int32_t place, int32_t window,
                            const Reader& reader, const Finish& finish) {
  const int64_t rows = Rows > 0 ? Rows : rectangle.rows;
  const int64_t columns = Columns > 0 ? Columns : rectangle.columns;
  for_blocks<4>(channels, [=](int64_t c, auto extent) {
    constexpr int kVectors = decltype(extent)::kVectors;
    const auto value_at = reader(c, extent);
    Floats best[kVectors];
    Ints winner[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      best[v] = broadcast(-__builtin_inff());
      winner[v] = Ints{} + place;
    }
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        const Ints here = Ints{} + (place + static_cast<int32_t>(i) * window + static_cast<int32_t>(j));
        for (int v = 0; v < kVectors; ++v) {
          const Floats value = value_at(from + i * rectangle.pitch + j * channels + c + v * kLanes, v);
          // Also true if the value is NaN, unless a NaN came before.
          const Ints wins = ~(value <= best[v]) & (best[v] == best[v]);
          best[v] = select(wins, value, best[v]);
          winner[v] = wins ? here : winner[v];
        }
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      finish(out + c + v * kLanes, best[v], winner[v], extent);
    }
  });
}

/// Calls finish(i, maximum, winner's position, extent) for all elements i of y, one register at a time. For a block of
/// channels, `reader(channel, extent)` returns a function that maps an element of x and its register's number in the block to
/// the value to pool.
template <class Reader, class Finish>
void for_maxima(const PoolShape& s, const Reader& reader, const Finish& finish) {
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  parallel_ranges(s.batch * out_height, 1, [=](int, int64_t begin, int64_t end) {
    const int64_t pitch = s.in_width * s.channels;
    const int32_t window = static_cast<int32_t>(s.window);
    for (int64_t row = begin; row < end; ++row) {
      const PoolWindow high(row % out_height, s.in_height, s);
      const int64_t top = (row / out_height * s.in_height + high.begin) * pitch;
      for (int64_t q = 0; q < out_width; ++q) {
        const PoolWindow wide(q, s.in_width, s);
        const Rectangle inside{high.end - high.begin, wide.end - wide.begin, pitch};
        const int64_t from = top + wide.begin * s.channels;
        const int64_t out = (row * out_width + q) * s.channels;
        const int32_t place = static_cast<int32_t>((high.begin - high.first) * s.window + wide.begin - wide.first);
        if (inside.rows == 3 && inside.columns == 3) {
          maximum<3, 3>(from, out, inside, s.channels, place, window, reader, finish);
        } else {
          maximum<0, 0>(from, out, inside, s.channels, place, window, reader, finish);
        }
      }
    }
  });
}

/// The gradient of one pixel from the rectangle of windows that contain it: the sum of dy where the index names the pixel.
/// `place` is the pixel's position in the first window; it is smaller in the following ones.
template <int64_t Rows, int64_t Columns, class T, class Extent, class Use>
RESIDUA_INLINE void gather(const T* dy, const uint8_t* index, Rectangle rectangle, int64_t place, const PoolShape& s,
                           int64_t to, Extent extent, const Use& use) {
  constexpr int kVectors = Extent::kVectors;
  const int64_t rows = Rows > 0 ? Rows : rectangle.rows;
  const int64_t columns = Columns > 0 ? Columns : rectangle.columns;
  Floats total[kVectors] = {};
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      const int64_t out = i * rectangle.pitch + j * s.channels;
      const uint8_t wanted = static_cast<uint8_t>(place - i * s.stride * s.window - j * s.stride);
      for (int v = 0; v < kVectors; ++v) {
        const LaneBits won = bits_equal(index + out + v * kLanes, wanted, extent);
        total[v] += keep(won, load(dy + out + v * kLanes, extent));
      }
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    use(to + v * kLanes, total[v], v);
  }
}

/// Calls use(i, g, register number) for one row of pixels of x and `extent` channels from c on; g is the gradient of element i.
/// Each pixel reads the windows that contain it, so nothing is added in memory and the order of the sum is fixed.
template <class T, class Extent, class Use>
RESIDUA_INLINE void for_gradients(const PoolShape& s, const T* dy, const uint8_t* index, int64_t row, int64_t c, Extent extent,
                                  const Use& use) {
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  const int64_t pitch = out_width * s.channels;
  const int64_t h = row % s.in_height;
  const PoolCover high(h, out_height, s);
  const int64_t first_row = (row / s.in_height * out_height + high.begin) * pitch + c;
  const int64_t row_place = (h + s.padding - high.begin * s.stride) * s.window;
  PoolCover wide(0, out_width, s);
  for (int64_t w = 0; w < s.in_width; ++w, wide.advance(w, out_width, s)) {
    const Rectangle cover{high.end - high.begin, wide.end - wide.begin, pitch};
    const int64_t out = first_row + wide.begin * s.channels;
    const int64_t place = row_place + w + s.padding - wide.begin * s.stride;
    const int64_t to = (row * s.in_width + w) * s.channels + c;
    if (cover.rows == 2 && cover.columns == 2) {
      gather<2, 2>(dy + out, index + out, cover, place, s, to, extent, use);
    } else if (cover.rows == 2 && cover.columns == 1) {
      gather<2, 1>(dy + out, index + out, cover, place, s, to, extent, use);
    } else if (cover.rows == 1 && cover.columns == 2) {
      gather<1, 2>(dy + out, index + out, cover, place, s, to, extent, use);
    } else if (cover.rows == 1 && cover.columns == 1) {
      gather<1, 1>(dy + out, index + out, cover, place, s, to, extent, use);
    } else {
      gather<0, 0>(dy + out, index + out, cover, place, s, to, extent, use);
    }
  }
}

}  // namespace
}  // namespace residua::cpu::RESIDUA_ISA
