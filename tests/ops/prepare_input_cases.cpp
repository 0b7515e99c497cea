#include "core/ops/prepare_input.h"

#include <algorithm>
#include <utility>

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

enum class Mean { per_channel, per_pixel };
enum class Color { kept, shifted };

struct Sizes {
  int64_t n, in_h, in_w, in_c, h, w, c;
};

HostArray reference(const Sizes& z, Mean kind, Color color, std::span<const HostArray> in) {
  const HostArray &source = in[0], &top = in[1], &left = in[2], &flip = in[3], &mean = in[4], &inverse_std = in[5];
  HostArray y;
  for (int64_t n = 0; n < z.n; ++n) {
    for (int64_t h = 0; h < z.h; ++h) {
      for (int64_t w = 0; w < z.w; ++w) {
        for (int64_t c = 0; c < z.c; ++c) {
          const auto image = static_cast<size_t>(n);
          const int64_t i = h + static_cast<int64_t>(top[image]);
          const int64_t j = (flip[image] != 0.0 ? z.w - 1 - w : w) + static_cast<int64_t>(left[image]);
          if (i < 0 || i >= z.in_h || j < 0 || j >= z.in_w || c >= z.in_c) {
            y.push_back(0.0);
            continue;
          }
          const auto pixel = static_cast<size_t>((i * z.in_w + j) * z.in_c + c);
          const double m = kind == Mean::per_pixel ? mean[pixel] : mean[static_cast<size_t>(c)];
          const double shift = color == Color::shifted ? in[7][static_cast<size_t>(n * z.in_c + c)] : 0.0;
          y.push_back((source[static_cast<size_t>(n * z.in_h * z.in_w * z.in_c) + pixel] + shift - m) *
                      inverse_std[static_cast<size_t>(c)]);
        }
      }
    }
  }
  return y;
}

/// Where a window of `wanted` pixels may begin: from 2 before the first place that is useful to 2 after the last.
Values beyond_both_ends(int64_t source, int64_t wanted) {
  return integers(std::min<int64_t>(0, source - wanted) - 2, std::max<int64_t>(0, source - wanted) + 2);
}

OpCase make(const Sizes& z, Mean kind, Color color) {
  const Shape mean_shape = kind == Mean::per_pixel ? Shape{z.in_h, z.in_w, z.in_c} : Shape{z.in_c};
  OpCase c{
      .op = "prepare_input",
      .name = fmt::format("n{}_{}x{}x{}_to_{}x{}x{}{}{}", z.n, z.in_h, z.in_w, z.in_c, z.h, z.w, z.c,
                          kind == Mean::per_pixel ? "_per_pixel_mean" : "", color == Color::shifted ? "_color" : ""),
      .inputs = {{"source", {z.n, z.in_h, z.in_w, z.in_c}, integers(0, 255), false, DType::u8},
                 {"top", {z.n}, beyond_both_ends(z.in_h, z.h), false, DType::i32},
                 {"left", {z.n}, beyond_both_ends(z.in_w, z.w), false, DType::i32},
                 {"flip", {z.n}, integers(0, 1), false, DType::u8},
                 {"mean", mean_shape, uniform(100, 150), false, DType::f32},
                 {"inverse_std", {z.in_c}, uniform(0.01, 0.02), false, DType::f32},
                 // Of no use but to choose the output's type.
                 {"like", {1}, uniform(0, 1), false}},
      .run =
          [=](std::span<const Tensor> in) {
            return std::vector{prepare_input(
                in[0], in[1], in[2], in[3], in.size() == 8 ? in[7] : Tensor(),
                {.height = z.h, .width = z.w, .channels = z.c, .dtype = in[6].dtype(), .mean = in[4], .inverse_std = in[5]})};
          },
      .reference = [=](std::span<const HostArray> in) { return std::vector<HostArray>{reference(z, kind, color, in)}; }};
  if (color == Color::shifted) {
    c.inputs.push_back({"color_shift", {z.n, z.in_c}, uniform(-30, 30), false, DType::f32});
  }
  return c;
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
         }) {
      all.push_back(make(z, kind, color));
    }
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
