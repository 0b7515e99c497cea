#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/pool_window.h"
#include "core/cpu/vec.h"
#include "core/kernels/pooling.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

/// A rectangle of pixels, one under the other at `pitch` elements. Its size is a template argument where the loops over it are
/// to be unrolled, or 0.
struct Rectangle {
  int64_t rows, columns, pitch;
};

/// Maximum of a rectangle of x, and the place in the window of its first winner, when the rectangle starts at `place`.
template <int64_t Rows, int64_t Columns, class T>
RESIDUA_INLINE void maximum(const T* x, Rectangle rectangle, int64_t channels, int32_t place, int32_t window, T* y,
                            uint8_t* index) {
  const int64_t rows = Rows > 0 ? Rows : rectangle.rows;
  const int64_t columns = Columns > 0 ? Columns : rectangle.columns;
  for_blocks<4>(channels, [=](int64_t c, auto extent) {
    constexpr int kVectors = decltype(extent)::kVectors;
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
          const Floats value = load(x + i * rectangle.pitch + j * channels + c + v * kLanes, extent);
          // True also where the value is NaN, unless one was there before.
          const Ints wins = ~(value <= best[v]) & (best[v] == best[v]);
          best[v] = select(wins, value, best[v]);
          winner[v] = wins ? here : winner[v];
        }
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      store(y + c + v * kLanes, best[v], extent);
      if (index != nullptr) {
        store_bytes(index + c + v * kLanes, winner[v], extent);
      }
    }
  });
}

template <class T>
void forward(const MaxPoolForward& args) {
  const PoolShape s = args.shape;
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  uint8_t* index = args.index;
  parallel_ranges(s.batch * out_height, 1, [=](int, int64_t begin, int64_t end) {
    const int64_t pitch = s.in_width * s.channels;
    const int32_t window = static_cast<int32_t>(s.window);
    for (int64_t row = begin; row < end; ++row) {
      const PoolWindow high(row % out_height, s.in_height, s);
      const T* top = x + (row / out_height * s.in_height + high.begin) * pitch;
      for (int64_t q = 0; q < out_width; ++q) {
        const PoolWindow wide(q, s.in_width, s);
        const Rectangle inside{high.end - high.begin, wide.end - wide.begin, pitch};
        const T* from = top + wide.begin * s.channels;
        const int64_t out = (row * out_width + q) * s.channels;
        const int32_t place = static_cast<int32_t>((high.begin - high.first) * s.window + wide.begin - wide.first);
        uint8_t* to_index = index == nullptr ? nullptr : index + out;
        if (inside.rows == 3 && inside.columns == 3) {
          maximum<3, 3>(from, inside, s.channels, place, window, y + out, to_index);
        } else {
          maximum<0, 0>(from, inside, s.channels, place, window, y + out, to_index);
        }
      }
    }
  });
}

/// dx of one pixel from the rectangle of windows that it lies in: the sum of dy where the index names the pixel. Its place is
/// `place` in the first window and less in the following ones.
template <int64_t Rows, int64_t Columns, class T>
RESIDUA_INLINE void gather(const T* dy, const uint8_t* index, Rectangle rectangle, int64_t channels, int64_t place,
                           const PoolShape& s, T* dx) {
  const int64_t rows = Rows > 0 ? Rows : rectangle.rows;
  const int64_t columns = Columns > 0 ? Columns : rectangle.columns;
  const int64_t window = s.window;
  const int64_t stride = s.stride;
  for_blocks<4>(channels, [=](int64_t c, auto extent) {
    constexpr int kVectors = decltype(extent)::kVectors;
    Floats total[kVectors] = {};
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t out = i * rectangle.pitch + j * channels + c;
        const uint8_t wanted = static_cast<uint8_t>(place - i * stride * window - j * stride);
        for (int v = 0; v < kVectors; ++v) {
          const LaneBits won = bits_equal(index + out + v * kLanes, wanted, extent);
          total[v] += keep(won, load(dy + out + v * kLanes, extent));
        }
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      store(dx + c + v * kLanes, total[v], extent);
    }
  });
}

/// Each pixel of dx looks at the windows that it lies in: nothing is added in memory, and the order of the sum is fixed.
template <class T>
void backward(const MaxPoolBackward& args) {
  const PoolShape s = args.shape;
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  const T* dy = static_cast<const T*>(args.dy);
  const uint8_t* index = args.index;
  T* dx = static_cast<T*>(args.dx);
  parallel_ranges(s.batch * s.in_height, 1, [=](int, int64_t begin, int64_t end) {
    const int64_t pitch = out_width * s.channels;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t h = row % s.in_height;
      const PoolCover high(h, out_height, s);
      const int64_t first_row = (row / s.in_height * out_height + high.begin) * pitch;
      const int64_t row_place = (h + s.padding - high.begin * s.stride) * s.window;
      PoolCover wide(0, out_width, s);
      for (int64_t w = 0; w < s.in_width; ++w, wide.advance(w, out_width, s)) {
        const Rectangle cover{high.end - high.begin, wide.end - wide.begin, pitch};
        const int64_t out = first_row + wide.begin * s.channels;
        const int64_t place = row_place + w + s.padding - wide.begin * s.stride;
        T* to = dx + (row * s.in_width + w) * s.channels;
        if (cover.rows == 2 && cover.columns == 2) {
          gather<2, 2>(dy + out, index + out, cover, s.channels, place, s, to);
        } else if (cover.rows == 2 && cover.columns == 1) {
          gather<2, 1>(dy + out, index + out, cover, s.channels, place, s, to);
        } else if (cover.rows == 1 && cover.columns == 2) {
          gather<1, 2>(dy + out, index + out, cover, s.channels, place, s, to);
        } else if (cover.rows == 1 && cover.columns == 1) {
          gather<1, 1>(dy + out, index + out, cover, s.channels, place, s, to);
        } else {
          gather<0, 0>(dy + out, index + out, cover, s.channels, place, s, to);
        }
      }
    }
  });
}

}  // namespace

void run(const MaxPoolForward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { forward<T>(args); });
}

void run(const MaxPoolBackward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { backward<T>(args); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::MaxPoolForward)
RESIDUA_CPU_KERNEL(residua::MaxPoolBackward)
