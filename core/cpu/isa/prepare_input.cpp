#include "core/kernels/prepare_input.h"

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/scratch.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

/// A thread's scratch memory: one row of y as bytes, and its means.
struct Row {
  float* means;     // [width, channels]
  uint8_t* pixels;  // [width, channels], plus 8 bytes
};

/// Copies pixels [begin, end) of an output row from source row `from`, `channels` bytes each. Bytes past in_channels are
/// whatever follows in the source. Pixel w comes from column first + step * w.
void gather(const PrepareInput& args, const uint8_t* from, const uint8_t* source_end, int64_t first, int64_t step,
            int64_t begin, int64_t end, uint8_t* pixels) {
  for (int64_t w = begin; w < end; ++w) {
    const uint8_t* pixel = from + (first + step * w) * args.in_channels;
    uint8_t* to = pixels + w * args.channels;
    if (args.channels <= 4 && pixel + 4 <= source_end) {
      std::memcpy(to, pixel, 4);  // may overwrite the start of the next pixel, which is copied later
    } else {
      std::memcpy(to, pixel, static_cast<size_t>(args.in_channels));
    }
  }
}

template <class T>
void prepare(const PrepareInput& args) {
  const int64_t size = args.width * args.channels;
  const int64_t rows = args.batch * args.height;
  // The scales are the same for every row. So are the means of an image, unless the mean is per pixel.
  const int64_t row_bytes = (size * int64_t{sizeof(float)} + size + 8 + 63) / 64 * 64;
  std::byte* memory = static_cast<std::byte*>(scratch(size * int64_t{sizeof(float)} + thread_count() * row_bytes));
  float* scales = reinterpret_cast<float*>(memory);
  for (int64_t w = 0; w < args.width; ++w) {
    for (int64_t c = 0; c < args.channels; ++c) {
      scales[w * args.channels + c] = c < args.in_channels ? args.inverse_std[c] : 0;
    }
  }
  parallel_ranges(rows, 8, [&args, size, row_bytes, memory, scales](int thread, int64_t row_begin, int64_t row_end) {
    std::byte* own = memory + size * int64_t{sizeof(float)} + thread * row_bytes;
    const Row row{reinterpret_cast<float*>(own), reinterpret_cast<uint8_t*>(own + size * int64_t{sizeof(float)})};
    std::memset(own, 0, static_cast<size_t>(row_bytes));
    const int64_t image_bytes = args.in_height * args.in_width * args.in_channels;
    const uint8_t* source_end = args.source + args.batch * image_bytes;
    const auto set_means = [&](int64_t n, const float* mean, int64_t mean_step, int64_t first, int64_t step, int64_t begin,
                               int64_t end) {
      const float* shift = args.views[n].color_shift;
      for (int64_t w = begin; w < end; ++w) {
        for (int64_t c = 0; c < args.in_channels; ++c) {
          row.means[w * args.channels + c] = mean[(first + step * w) * mean_step + c] - (c < 3 ? shift[c] : 0);
        }
      }
    };
    int64_t image = -1;  // the image whose means the row holds, unless the mean is per pixel
    for (int64_t r = row_begin; r < row_end; ++r) {
      const int64_t n = r / args.height;
      if (args.per_pixel_mean == 0 && n != image) {
        set_means(n, args.mean, 0, 0, 1, 0, args.width);
        image = n;
      }
      const SampleView& view = args.views[n];
      const int64_t i = r % args.height + view.top;
      const int64_t step = view.flip != 0 ? -1 : 1;
      const int64_t first = view.left + (step < 0 ? args.width - 1 : 0);
      // Columns [begin, end) of y are inside the source.
      int64_t begin = step > 0 ? -first : first - (args.in_width - 1);
      int64_t end = step > 0 ? args.in_width - first : first + 1;
      begin = begin < 0 ? 0 : begin > args.width ? args.width : begin;
      end = end > args.width ? args.width : end;
      if (i < 0 || i >= args.in_height || end < begin) {
        end = begin;
      }
      if (begin < end) {
        const uint8_t* from = args.source + n * image_bytes + i * args.in_width * args.in_channels;
        gather(args, from, source_end, first, step, begin, end, row.pixels);
        if (args.per_pixel_mean != 0) {
          set_means(n, args.mean + i * args.in_width * args.in_channels, args.in_channels, first, step, begin, end);
        }
      }
      T* y = static_cast<T*>(args.y) + r * size;
      const int64_t inside = begin * args.channels;
      const int64_t outside = end * args.channels;
      std::memset(y, 0, static_cast<size_t>(inside) * sizeof(T));
      for_blocks<4>(outside - inside, [&](int64_t e, auto extent) {
        for (int v = 0; v < extent.kVectors; ++v) {
          const int64_t j = inside + e + v * kLanes;
          const Floats centered = load(row.pixels + j, extent) - load(row.means + j, extent);
          store(y + j, centered * load(scales + j, extent), extent);
        }
      });
      std::memset(y + outside, 0, static_cast<size_t>(size - outside) * sizeof(T));
    }
  });
}

}  // namespace

void run(const PrepareInput& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { prepare<T>(args); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::PrepareInput)
