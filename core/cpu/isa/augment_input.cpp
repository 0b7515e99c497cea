#include "core/kernels/augment_input.h"

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

/// The region's pixels [first, end) of one dimension that an output pixel averages. Pixel first + t is distance + t * step from
/// the middle of the filter, in units of its radius.
struct Taps {
  int64_t first, end;
  float distance, step;

  /// Of pixel `out` of the resized image.
  Taps(int64_t out, int64_t domain, int64_t resized, int64_t region_first, int64_t region_size) {
    const int64_t radius = domain > resized ? domain : resized;  // times `resized`, in pixels
    const int64_t middle = (2 * out + 1) * domain;               // times 2 * resized, from the domain's edge
    const int64_t origin = region_first * 2 * resized;
    first = (middle - 2 * radius - origin) / (2 * resized);
    first = first < 0 ? 0 : first;
    end = (middle + 2 * radius - origin) / (2 * resized) + 1;
    end = end < region_size ? end : region_size;
    distance = static_cast<float>((2 * first + 1) * resized + origin - middle) / static_cast<float>(2 * radius);
    step = static_cast<float>(resized) / static_cast<float>(radius);
  }

  float weight(int64_t pixel) const {
    const float d = distance + static_cast<float>(pixel - first) * step;
    const float w = 1 - (d < 0 ? -d : d);
    return w < 0 ? 0 : w;
  }
};

template <class T>
void augment(const AugmentInput& args) {
  parallel_ranges(args.batch * args.height, 4, [&args](int, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / args.height;
      const AugmentImage& image = args.images[n];
      const int64_t i = r % args.height + image.top;
      const float* shift = args.color_shift == nullptr ? nullptr : args.color_shift + 3 * n;
      for (int64_t w = 0; w < args.width; ++w) {
        T* y = static_cast<T*>(args.y) + (r * args.width + w) * args.channels;
        const int64_t j = (image.flip != 0 ? args.width - 1 - w : w) + image.left;
        std::memset(y, 0, static_cast<size_t>(args.channels) * sizeof(T));
        if (image.region_height == 0 || i < 0 || i >= args.height || j < 0 || j >= args.width) {
          continue;
        }
        const Taps rows(i + image.window_top, image.domain_height, image.resized_height, image.region_top, image.region_height);
        const Taps columns(j + image.window_left, image.domain_width, image.resized_width, image.region_left,
                           image.region_width);
        float sum[3] = {};
        float weights = 0;
        for (int64_t h = rows.first; h < rows.end; ++h) {
          const uint8_t* line = args.source + image.offset + h * image.region_width * 3;
          for (int64_t x = columns.first; x < columns.end; ++x) {
            const float weight = rows.weight(h) * columns.weight(x);
            weights += weight;
            for (int c = 0; c < 3; ++c) {
              sum[c] += weight * static_cast<float>(line[3 * x + c]);
            }
          }
        }
        const float* mean = args.mean + (args.per_pixel_mean != 0 ? (i * args.width + j) * 3 : 0);
        for (int c = 0; c < 3; ++c) {
          const float value = sum[c] / weights + (shift == nullptr ? 0 : shift[c]);
          y[c] = from_float<T>((value - mean[c]) * args.inverse_std[c]);
        }
      }
    }
  });
}

}  // namespace

void run(const AugmentInput& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { augment<T>(args); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::AugmentInput)
