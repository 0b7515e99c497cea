#include "core/ops/conv2d.h"

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

struct Sizes {
  int64_t n, h, w, c, k, r, s, stride, padding;

  int64_t p() const { return (h + 2 * padding - r) / stride + 1; }
  int64_t q() const { return (w + 2 * padding - s) / stride + 1; }
};

/// Calls f(index of x, index of w, index of y) for every product that the definition sums.
template <class F>
void for_each_product(const Sizes& z, const F& f) {
  for (int64_t n = 0; n < z.n; ++n) {
    for (int64_t p = 0; p < z.p(); ++p) {
      for (int64_t q = 0; q < z.q(); ++q) {
        for (int64_t r = 0; r < z.r; ++r) {
          for (int64_t s = 0; s < z.s; ++s) {
            const int64_t i = p * z.stride + r - z.padding;
            const int64_t j = q * z.stride + s - z.padding;
            if (i < 0 || i >= z.h || j < 0 || j >= z.w) {
              continue;
            }
            for (int64_t k = 0; k < z.k; ++k) {
              for (int64_t c = 0; c < z.c; ++c) {
                f(static_cast<size_t>(((n * z.h + i) * z.w + j) * z.c + c),
                  static_cast<size_t>(((k * z.r + r) * z.s + s) * z.c + c),
                  static_cast<size_t>(((n * z.p() + p) * z.q() + q) * z.k + k));
              }
            }
          }
        }
      }
    }
  }
}

OpCase make(const Sizes& z, bool bench_only) {
  const double flops = 2.0 * static_cast<double>(z.n * z.p() * z.q() * z.k * z.r * z.s * z.c);
  const double x_size = static_cast<double>(z.n * z.h * z.w * z.c);
  const double y_size = static_cast<double>(z.n * z.p() * z.q() * z.k);
  const double w_size = static_cast<double>(z.k * z.r * z.s * z.c);
  return {.op = "conv2d",
          .name = fmt::format("n{}_{}x{}x{}_to_{}_kernel_{}x{}_stride_{}_padding_{}", z.n, z.h, z.w, z.c, z.k, z.r, z.s,
                              z.stride, z.padding),
          .inputs = {{.name = "x", .shape = {z.n, z.h, z.w, z.c}, .values = uniform(-1, 1)},
                     {.name = "w", .shape = {z.k, z.r, z.s, z.c}, .values = uniform(-1, 1)}},
          .run =
              [z](std::span<const Tensor> in) {
                return std::vector{conv2d(in[0], in[1], {.stride = z.stride, .padding = z.padding})};
              },
          .reference =
              [z](std::span<const HostArray> in) {
                HostArray y(static_cast<size_t>(z.n * z.p() * z.q() * z.k));
                for_each_product(z, [&](size_t i, size_t j, size_t o) { y[o] += in[0][i] * in[1][j]; });
                return std::vector<HostArray>{y};
              },
          .reference_gradients =
              [z](std::span<const HostArray> in, const HostArray& dy) {
                HostArray dx(in[0].size());
                HostArray dw(in[1].size());
                for_each_product(z, [&](size_t i, size_t j, size_t o) {
                  dx[i] += dy[o] * in[1][j];
                  dw[j] += dy[o] * in[0][i];
                });
                return std::vector<HostArray>{dx, dw};
              },
          // Winograd's algorithm (3x3, stride 1, from 32 channels on) subtracts before it multiplies.
          .f32_tolerance = z.r == 3 && z.stride == 1 && z.c >= 32 && z.k >= 32 ? 10.0 : 1.0,
          .flops = flops,
          .backward_flops = 2.0 * flops,
          .bytes = [=](double element) { return element * (x_size + w_size + y_size); },
          .backward_bytes = [=](double element) { return element * (2 * x_size + 2 * w_size + 2 * y_size); },
          .bench_only = bench_only};
}

std::vector<OpCase> cases(int64_t batch) {
  std::vector<OpCase> all;
  for (const Sizes& z : std::initializer_list<Sizes>{
           {1, 1, 1, 1, 1, 1, 1, 1, 0},      // the least there is
           {1, 1, 1, 7, 3, 3, 3, 1, 1},      // mostly padding
           {2, 5, 4, 3, 7, 3, 3, 1, 1},      //
           {3, 6, 5, 17, 7, 1, 1, 1, 0},     //
           {1, 6, 7, 3, 5, 1, 3, 1, 0},      // a kernel that is not square
           {1, 5, 5, 1, 1, 5, 5, 2, 0},      // one output pixel
           {2, 9, 8, 5, 4, 3, 3, 3, 1},      // a stride that leaves rows over
           {1, 7, 6, 7, 5, 3, 3, 2, 1},      // stride 2, odd and even
           {2, 8, 9, 17, 16, 3, 3, 2, 1},    //
           {2, 7, 7, 4, 6, 1, 1, 2, 0},      // the projection shortcut
           {1, 8, 6, 16, 32, 1, 1, 2, 0},    //
           {2, 13, 12, 3, 17, 7, 7, 2, 3},   // the stem
           {1, 12, 13, 4, 16, 7, 7, 2, 3},   //
           {1, 8, 8, 64, 64, 3, 3, 1, 1},    //
           {2, 13, 11, 32, 48, 3, 3, 1, 1},  // tiles of Winograd's algorithm that stand over the edge
           {2, 8, 8, 16, 32, 3, 3, 2, 1},    //
           {2, 7, 7, 64, 17, 3, 3, 2, 1},    //
           {2, 5, 5, 64, 32, 1, 1, 1, 0},    //
       }) {
    all.push_back(make(z, false));
  }
  for (const Sizes& z : std::initializer_list<Sizes>{
           {batch, 224, 224, 4, 64, 7, 7, 2, 3},
           {batch, 56, 56, 64, 64, 3, 3, 1, 1},
           {batch, 56, 56, 64, 128, 3, 3, 2, 1},
           {batch, 56, 56, 64, 128, 1, 1, 2, 0},
           {batch, 28, 28, 128, 128, 3, 3, 1, 1},
           {batch, 28, 28, 128, 256, 3, 3, 2, 1},
           {batch, 14, 14, 256, 256, 3, 3, 1, 1},
           {batch, 14, 14, 256, 512, 3, 3, 2, 1},
           {batch, 7, 7, 512, 512, 3, 3, 1, 1},
           {batch, 56, 56, 256, 64, 1, 1, 1, 0},
       }) {
    all.push_back(make(z, true));
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
