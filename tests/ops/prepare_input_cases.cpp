#include "core/ops/prepare_input.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

enum class Mean { per_channel, per_pixel };
enum class Color { kept, shifted };

struct Sizes {
  int64_t n, in_h, in_w, in_c, h, w, c;
};

/// View n of the bytes that views_of() made.
SampleView view_from(const HostArray& bytes, int64_t n) {
  std::array<uint8_t, sizeof(SampleView)> own{};
  for (size_t i = 0; i < own.size(); ++i) {
    own[i] = static_cast<uint8_t>(bytes[static_cast<size_t>(n) * own.size() + i]);
  }
  return std::bit_cast<SampleView>(own);
}

HostArray reference(const Sizes& z, Mean kind, std::span<const HostArray> in) {
  const HostArray &source = in[0], &mean = in[2], &inverse_std = in[3];
  HostArray y;
  for (int64_t n = 0; n < z.n; ++n) {
    const SampleView view = view_from(in[1], n);
    for (int64_t h = 0; h < z.h; ++h) {
      for (int64_t w = 0; w < z.w; ++w) {
        for (int64_t c = 0; c < z.c; ++c) {
          const int64_t i = h + view.top;
          const int64_t j = (view.flip != 0 ? z.w - 1 - w : w) + view.left;
          if (i < 0 || i >= z.in_h || j < 0 || j >= z.in_w || c >= z.in_c) {
            y.push_back(0.0);
            continue;
          }
          const auto pixel = static_cast<size_t>((i * z.in_w + j) * z.in_c + c);
          const double m = kind == Mean::per_pixel ? mean[pixel] : mean[static_cast<size_t>(c)];
          const double shift = c < 3 ? static_cast<double>(view.color_shift[c]) : 0.0;
          y.push_back((source[static_cast<size_t>(n * z.in_h * z.in_w * z.in_c) + pixel] + shift - m) *
                      inverse_std[static_cast<size_t>(c)]);
        }
      }
    }
  }
  return y;
}

/// Where a window of `wanted` pixels may begin: from 2 before the first place that is useful to 2 after the last.
int32_t beyond_both_ends(Random& random, int64_t source, int64_t wanted) {
  return static_cast<int32_t>(
      random.integer(std::min<int64_t>(0, source - wanted) - 2, std::max<int64_t>(0, source - wanted) + 2));
}

/// The bytes of one view for each image.
Values views_of(const Sizes& z, Color color) {
  return [z, color](Random& random, std::span<double> values) {
    for (int64_t n = 0; n < z.n; ++n) {
      SampleView view{.top = beyond_both_ends(random, z.in_h, z.h),
                      .left = beyond_both_ends(random, z.in_w, z.w),
                      .flip = static_cast<int32_t>(random.integer(0, 1)),
                      .color_shift = {}};
      for (float& shift : view.color_shift) {
        shift = color == Color::shifted ? static_cast<float>(random.integer(-3000, 3000)) / 128 : 0.0f;
      }
      const auto bytes = std::bit_cast<std::array<uint8_t, sizeof(SampleView)>>(view);
      std::ranges::copy(bytes, values.begin() + n * static_cast<int64_t>(sizeof(SampleView)));
    }
  };
}

OpCase make(const Sizes& z, Mean kind, Color color) {
  const Shape mean_shape = kind == Mean::per_pixel ? Shape{z.in_h, z.in_w, z.in_c} : Shape{z.in_c};
  return {
      .op = "prepare_input",
      .name = fmt::format("n{}_{}x{}x{}_to_{}x{}x{}{}{}", z.n, z.in_h, z.in_w, z.in_c, z.h, z.w, z.c,
                          kind == Mean::per_pixel ? "_per_pixel_mean" : "", color == Color::shifted ? "_color" : ""),
      .inputs = {{"source", {z.n, z.in_h, z.in_w, z.in_c}, integers(0, 255), false, DType::u8},
                 {"views", {z.n, sizeof(SampleView)}, views_of(z, color), false, DType::u8},
                 {"mean", mean_shape, uniform(100, 150), false, DType::f32},
                 {"inverse_std", {z.in_c}, uniform(0.01, 0.02), false, DType::f32},
                 // Of no use but to choose the output's type.
                 {"like", {1}, uniform(0, 1), false}},
      .run =
          [=](std::span<const Tensor> in) {
            return std::vector{prepare_input(
                in[0], in[1],
                {.height = z.h, .width = z.w, .channels = z.c, .dtype = in[4].dtype(), .mean = in[2], .inverse_std = in[3]})};
          },
      .reference = [=](std::span<const HostArray> in) { return std::vector<HostArray>{reference(z, kind, in)}; }};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const auto& [kind, color] : {std::pair{Mean::per_channel, Color::kept},
                                    {Mean::per_channel, Color::shifted},
                                    {Mean::per_pixel, Color::kept},
                                    {Mean::per_pixel, Color::shifted}}) {
    for (const Sizes& z : std::initializer_list<Sizes>{
             {1, 1, 1, 1, 1, 1, 1},
             {3, 7, 5, 3, 5, 4, 4},
             {5, 8, 8, 3, 8, 8, 3},
             {2, 9, 40, 1, 6, 33, 1},
             {2, 5, 6, 3, 9, 11, 8},
             {3, 37, 35, 3, 29, 31, 4},
             {2, 6, 5, 4, 5, 5, 4},
             // Three channels in and four out: one to three rows more than whole fours, and fewer; one column.
             {2, 9, 11, 3, 6, 9, 4},
             {3, 6, 7, 3, 7, 1, 4},
             {2, 1, 3, 3, 2, 3, 4},
             {2, 10, 9, 3, 8, 11, 4},
         }) {
      all.push_back(make(z, kind, color));
    }
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
