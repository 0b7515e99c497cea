#include "core/ops/augment_input.h"

#include <algorithm>
#include <cmath>

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

enum class Mean { per_channel, per_pixel };
enum class Shift { none, per_image };

/// Fields of a row of `images`.
enum Field {
  kOffset,
  kRegionHeight,
  kRegionWidth,
  kRegionTop,
  kRegionLeft,
  kDomainHeight,
  kDomainWidth,
  kResizedHeight,
  kResizedWidth,
  kWindowTop,
  kWindowLeft,
  kTop,
  kLeft,
  kFlip
};

struct Sizes {
  int64_t n, h, w, c;
  int64_t largest_domain;
};

double weight(double domain, double resized, double out, double in) {
  const double step = domain / resized;
  return std::max(0.0, 1.0 - std::fabs(in + 0.5 - (out + 0.5) * step) / std::max(step, 1.0));
}

/// First pixel and number of pixels of the domain that outputs [begin, begin + count) depend on.
std::pair<int64_t, int64_t> region(int64_t domain, int64_t resized, int64_t begin, int64_t count) {
  int64_t first = domain;
  int64_t last = 0;
  for (int64_t i = begin; i < begin + count; ++i) {
    for (int64_t j = 0; j < domain; ++j) {
      if (weight(static_cast<double>(domain), static_cast<double>(resized), static_cast<double>(i), static_cast<double>(j)) >
          1e-9) {
        first = std::min(first, j);
        last = std::max(last, j);
      }
    }
  }
  return {first, last - first + 1};
}

int64_t source_bytes(const Sizes& z) { return z.largest_domain * z.largest_domain * 3 + 101; }

/// Images of all kinds: shrunk, enlarged, as they are, and missing.
Values images_of(const Sizes& z) {
  return [z](Random& random, std::span<double> values) {
    for (size_t n = 0; n < static_cast<size_t>(z.n); ++n) {
      double* image = &values[n * kAugmentImageFields];
      const int64_t out[2] = {z.h, z.w};
      const int64_t kind = random.integer(0, 7);
      int64_t pixels = 1;
      for (int axis = 0; axis < 2; ++axis) {
        const int64_t resized = out[axis] + random.integer(0, out[axis]);
        const int64_t domain = kind == 0 ? std::min(resized, z.largest_domain) : random.integer(1, z.largest_domain);
        const int64_t window = random.integer(0, resized - out[axis]);
        const auto [first, count] = region(domain, resized, window, out[axis]);
        image[kRegionHeight + axis] = static_cast<double>(kind == 1 ? 0 : count);
        image[kRegionTop + axis] = static_cast<double>(first);
        image[kDomainHeight + axis] = static_cast<double>(domain);
        image[kResizedHeight + axis] = static_cast<double>(resized);
        image[kWindowTop + axis] = static_cast<double>(window);
        image[kTop + axis] = static_cast<double>(kind < 4 ? 0 : random.integer(-3, 3));
        pixels *= count;
      }
      image[kFlip] = static_cast<double>(random.integer(0, 1));
      image[kOffset] = static_cast<double>(random.integer(0, source_bytes(z) - 3 * pixels));
    }
  };
}

/// One pixel of the resized image.
double resized_pixel(const HostArray& source, const double* image, int64_t row, int64_t column, int64_t c) {
  double sum = 0.0;
  double weights = 0.0;
  for (int64_t i = 0; i < static_cast<int64_t>(image[kRegionHeight]); ++i) {
    for (int64_t j = 0; j < static_cast<int64_t>(image[kRegionWidth]); ++j) {
      const double w = weight(image[kDomainHeight], image[kResizedHeight], static_cast<double>(row),
                              static_cast<double>(i) + image[kRegionTop]) *
                       weight(image[kDomainWidth], image[kResizedWidth], static_cast<double>(column),
                              static_cast<double>(j) + image[kRegionLeft]);
      const int64_t pixel = i * static_cast<int64_t>(image[kRegionWidth]) + j;
      sum += w * source[static_cast<size_t>(static_cast<int64_t>(image[kOffset]) + pixel * 3 + c)];
      weights += w;
    }
  }
  return sum / weights;
}

HostArray reference(const Sizes& z, Mean kind, Shift shift, std::span<const HostArray> in) {
  const HostArray &source = in[0], &images = in[1], &shifts = in[2], &mean = in[3], &inverse_std = in[4];
  HostArray y;
  for (int64_t n = 0; n < z.n; ++n) {
    const double* image = &images[static_cast<size_t>(n * kAugmentImageFields)];
    for (int64_t h = 0; h < z.h; ++h) {
      for (int64_t w = 0; w < z.w; ++w) {
        for (int64_t c = 0; c < z.c; ++c) {
          const int64_t i = h + static_cast<int64_t>(image[kTop]);
          const int64_t j = (image[kFlip] != 0.0 ? z.w - 1 - w : w) + static_cast<int64_t>(image[kLeft]);
          if (c >= 3 || image[kRegionHeight] == 0.0 || i < 0 || i >= z.h || j < 0 || j >= z.w) {
            y.push_back(0.0);
            continue;
          }
          double value = resized_pixel(source, image, i + static_cast<int64_t>(image[kWindowTop]),
                                       j + static_cast<int64_t>(image[kWindowLeft]), c);
          value += shift == Shift::per_image ? shifts[static_cast<size_t>(n * 3 + c)] : 0.0;
          value -= mean[static_cast<size_t>(kind == Mean::per_pixel ? (i * z.w + j) * 3 + c : c)];
          y.push_back(value * inverse_std[static_cast<size_t>(c)]);
        }
      }
    }
  }
  return y;
}

OpCase make(const Sizes& z, Mean kind, Shift shift) {
  const Shape mean_shape = kind == Mean::per_pixel ? Shape{z.h, z.w, 3} : Shape{3};
  return {
      .op = "augment_input",
      .name = fmt::format("n{}_up_to_{}_to_{}x{}x{}{}{}", z.n, z.largest_domain, z.h, z.w, z.c,
                          kind == Mean::per_pixel ? "_per_pixel_mean" : "", shift == Shift::per_image ? "_shifted" : ""),
      .inputs = {{"source", {source_bytes(z)}, integers(0, 255), false, DType::u8},
                 {"images", {z.n, kAugmentImageFields}, images_of(z), false, DType::i64},
                 {"color_shift", {z.n, 3}, uniform(-30, 30), false, DType::f32},
                 {"mean", mean_shape, uniform(100, 150), false, DType::f32},
                 {"inverse_std", {3}, uniform(0.01, 0.02), false, DType::f32},
                 // Of no use but to choose the output's type.
                 {"like", {1}, uniform(0, 1), false}},
      .run =
          [=](std::span<const Tensor> in) {
            return std::vector{augment_input(
                in[0], in[1], shift == Shift::per_image ? in[2] : Tensor{},
                {.height = z.h, .width = z.w, .channels = z.c, .dtype = in[5].dtype(), .mean = in[3], .inverse_std = in[4]})};
          },
      .reference = [=](std::span<const HostArray> in) { return std::vector<HostArray>{reference(z, kind, shift, in)}; },
      .f32_tolerance = 4.0};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const Sizes& z : std::initializer_list<Sizes>{{1, 1, 1, 3, 1}, {9, 5, 4, 4, 30}, {7, 7, 9, 3, 12}, {5, 6, 6, 8, 17}}) {
    for (const Mean kind : {Mean::per_channel, Mean::per_pixel}) {
      all.push_back(make(z, kind, kind == Mean::per_pixel ? Shift::per_image : Shift::none));
    }
  }
  all.push_back(make({3, 21, 33, 4, 40}, Mean::per_channel, Shift::per_image));
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
