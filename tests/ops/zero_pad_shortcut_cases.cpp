#include "core/ops/zero_pad_shortcut.h"

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

struct Sizes {
  int64_t n, h, w, c, k, stride;
};

HostArray reference(const Sizes& z, ShortcutPool pool, ShortcutPad pad, const HostArray& x) {
  const int64_t height = (z.h + z.stride - 1) / z.stride;
  const int64_t width = (z.w + z.stride - 1) / z.stride;
  const int64_t first = pad == ShortcutPad::both ? (z.k - z.c) / 2 : 0;
  HostArray y(static_cast<size_t>(z.n * height * width * z.k));
  for (int64_t n = 0; n < z.n; ++n) {
    for (int64_t p = 0; p < height; ++p) {
      for (int64_t q = 0; q < width; ++q) {
        for (int64_t c = 0; c < z.c; ++c) {
          const auto at = [&](int64_t i, int64_t j) { return x[static_cast<size_t>(((n * z.h + i) * z.w + j) * z.c + c)]; };
          double value = at(p * z.stride, q * z.stride);
          if (pool == ShortcutPool::average) {
            double sum = 0.0;
            double count = 0.0;
            for (int64_t i = p * z.stride; i < std::min(z.h, (p + 1) * z.stride); ++i) {
              for (int64_t j = q * z.stride; j < std::min(z.w, (q + 1) * z.stride); ++j) {
                sum += at(i, j);
                count += 1.0;
              }
            }
            value = sum / count;
          }
          y[static_cast<size_t>(((n * height + p) * width + q) * z.k + first + c)] = value;
        }
      }
    }
  }
  return y;
}

OpCase make(const Sizes& z, ShortcutPool pool, ShortcutPad pad) {
  return {
      .op = "zero_pad_shortcut",
      .name = fmt::format("n{}_{}x{}x{}_to_{}_stride_{}_{}_{}", z.n, z.h, z.w, z.c, z.k, z.stride,
                          pool == ShortcutPool::stride ? "subsampled" : "averaged",
                          pad == ShortcutPad::end ? "at_the_end" : "on_both_sides"),
      .inputs = {{.name = "x", .shape = {z.n, z.h, z.w, z.c}, .values = uniform(-1, 1)}},
      .run =
          [=](std::span<const Tensor> in) {
            return std::vector{zero_pad_shortcut(in[0], {.out_channels = z.k, .stride = z.stride, .pool = pool, .pad = pad})};
          },
      .reference = [=](std::span<const HostArray> in) { return std::vector<HostArray>{reference(z, pool, pad, in[0])}; }};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const ShortcutPool pool : {ShortcutPool::stride, ShortcutPool::average}) {
    for (const ShortcutPad pad : {ShortcutPad::end, ShortcutPad::both}) {
      for (const Sizes& z : std::initializer_list<Sizes>{
               {1, 1, 1, 1, 1, 1},
               {1, 1, 1, 3, 7, 2},
               {2, 5, 4, 7, 14, 2},
               {1, 4, 5, 17, 20, 2},
               {2, 6, 6, 16, 32, 2},
               {1, 7, 5, 3, 4, 2},
               {2, 3, 4, 3, 8, 1},
               {2, 3, 2, 64, 128, 1},
               {3, 13, 11, 16, 40, 2},
               {3, 13, 11, 24, 56, 2},
           }) {
        all.push_back(make(z, pool, pad));
      }
    }
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
