#include "core/kernels/zero_pad_shortcut.h"

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

/// The input pixels [begin, end) of one dimension that output pixel `out` is computed from.
struct Window {
  int64_t begin, end;
  Window(int64_t out, int64_t in_size, const ZeroPadShortcutShape& s)
      : begin(out * s.stride), end(s.pool == ShortcutPool::stride ? begin + 1 : begin + s.stride) {
    end = end < in_size ? end : in_size;
  }
};

template <class T>
RESIDUA_INLINE void zero(T* p, int64_t count) {
  std::memset(p, 0, static_cast<size_t>(count) * sizeof(T));
}

template <class T>
void forward(const ZeroPadShortcutForward& args) {
  const ZeroPadShortcutShape s = args.shape;
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  const int64_t before = s.first_channel();
  const int64_t after = s.out_channels - s.in_channels - before;
  parallel_ranges(s.batch * out_height, 1, [&args, s, out_height, out_width, before, after](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* image = static_cast<const T*>(args.x) + row / out_height * s.in_height * s.in_width * s.in_channels;
      const Window high(row % out_height, s.in_height, s);
      for (int64_t q = 0; q < out_width; ++q) {
        T* y = static_cast<T*>(args.y) + (row * out_width + q) * s.out_channels;
        const Window wide(q, s.in_width, s);
        const float share = 1 / static_cast<float>((high.end - high.begin) * (wide.end - wide.begin));
        zero(y, before);
        for_blocks<4>(s.in_channels, [&](int64_t c, auto extent) {
          constexpr int kVectors = decltype(extent)::kVectors;
          Floats total[kVectors] = {};
          for (int64_t h = high.begin; h < high.end; ++h) {
            for (int64_t w = wide.begin; w < wide.end; ++w) {
              for (int v = 0; v < kVectors; ++v) {
                total[v] += load(image + (h * s.in_width + w) * s.in_channels + c + v * kLanes, extent);
              }
            }
          }
          for (int v = 0; v < kVectors; ++v) {
            store(y + before + c + v * kLanes, total[v] * share, extent);
          }
        });
        zero(y + before + s.in_channels, after);
      }
    }
  });
}

template <class T>
void backward(const ZeroPadShortcutBackward& args) {
  const ZeroPadShortcutShape s = args.shape;
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  parallel_ranges(s.batch * s.in_height, 1, [&args, s, out_height, out_width](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t h = row % s.in_height;
      const Window high(h / s.stride, s.in_height, s);
      const T* dy = static_cast<const T*>(args.dy) +
                    (row / s.in_height * out_height + h / s.stride) * out_width * s.out_channels + s.first_channel();
      T* dx = static_cast<T*>(args.dx) + row * s.in_width * s.in_channels;
      for (int64_t w = 0; w < s.in_width; ++w, dx += s.in_channels) {
        const Window wide(w / s.stride, s.in_width, s);
        if (h >= high.end || w >= wide.end) {
          zero(dx, s.in_channels);
          continue;
        }
        const float share = 1 / static_cast<float>((high.end - high.begin) * (wide.end - wide.begin));
        for_blocks<4>(s.in_channels, [&](int64_t c, auto extent) {
          for (int v = 0; v < extent.kVectors; ++v) {
            const int64_t i = c + v * kLanes;
            store(dx + i, load(dy + w / s.stride * s.out_channels + i, extent) * share, extent);
          }
        });
      }
    }
  });
}

}  // namespace

void run(const ZeroPadShortcutForward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { forward<T>(args); });
}

void run(const ZeroPadShortcutBackward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { backward<T>(args); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::ZeroPadShortcutForward)
RESIDUA_CPU_KERNEL(residua::ZeroPadShortcutBackward)
