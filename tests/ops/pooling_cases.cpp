#include "core/ops/pooling.h"

#include <algorithm>
#include <limits>

#include "tests/support/op_case.h"

namespace residua::test {
namespace {

enum class Kind { max, average };

struct Sizes {
  int64_t n, h, w, c, window, stride, padding;

  int64_t p() const { return (h + 2 * padding - window) / stride + 1; }
  int64_t q() const { return (w + 2 * padding - window) / stride + 1; }
};

/// Calls f(index of y, index of x) for every pixel inside each window, row by row.
template <class F>
void for_each_pixel(const Sizes& z, const F& f) {
  for (int64_t n = 0; n < z.n; ++n) {
    for (int64_t p = 0; p < z.p(); ++p) {
      for (int64_t q = 0; q < z.q(); ++q) {
        for (int64_t c = 0; c < z.c; ++c) {
          for (int64_t i = p * z.stride - z.padding; i < p * z.stride - z.padding + z.window; ++i) {
            for (int64_t j = q * z.stride - z.padding; j < q * z.stride - z.padding + z.window; ++j) {
              if (i >= 0 && i < z.h && j >= 0 && j < z.w) {
                f(static_cast<size_t>(((n * z.p() + p) * z.q() + q) * z.c + c),
                  static_cast<size_t>(((n * z.h + i) * z.w + j) * z.c + c));
              }
            }
          }
        }
      }
    }
  }
}

size_t output_size(const Sizes& z) { return static_cast<size_t>(z.n * z.p() * z.q() * z.c); }

/// For each output the index of the pixel that wins: the first of the largest.
std::vector<size_t> winners(const Sizes& z, const HostArray& x) {
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  std::vector<size_t> all(output_size(z), kNone);
  for_each_pixel(z, [&](size_t o, size_t i) { all[o] = all[o] == kNone || x[i] > x[all[o]] ? i : all[o]; });
  return all;
}

OpCase make(Kind kind, const Sizes& z) {
  const double area = static_cast<double>(z.window * z.window);
  return {.op = kind == Kind::max ? "max_pool" : "average_pool",
          .name = fmt::format("n{}_{}x{}x{}_window_{}_stride_{}_padding_{}", z.n, z.h, z.w, z.c, z.window, z.stride, z.padding),
          .inputs = {{.name = "x", .shape = {z.n, z.h, z.w, z.c}, .values = kind == Kind::max ? distinct() : uniform(-1, 1)}},
          .run =
              [=](std::span<const Tensor> in) {
                const PoolOptions options{.window = z.window, .stride = z.stride, .padding = z.padding};
                return std::vector{kind == Kind::max ? max_pool(in[0], options) : average_pool(in[0], options)};
              },
          .reference =
              [=](std::span<const HostArray> in) {
                HostArray y(output_size(z));
                if (kind == Kind::max) {
                  const std::vector<size_t> winner = winners(z, in[0]);
                  std::ranges::transform(winner, y.begin(), [&](size_t i) { return in[0][i]; });
                } else {
                  for_each_pixel(z, [&](size_t o, size_t i) { y[o] += in[0][i] / area; });
                }
                return std::vector<HostArray>{y};
              },
          .reference_gradients =
              [=](std::span<const HostArray> in, const HostArray& dy) {
                HostArray dx(in[0].size());
                if (kind == Kind::max) {
                  const std::vector<size_t> winner = winners(z, in[0]);
                  for (size_t o = 0; o < dy.size(); ++o) {
                    dx[winner[o]] += dy[o];
                  }
                } else {
                  for_each_pixel(z, [&](size_t o, size_t i) { dx[i] += dy[o] / area; });
                }
                return std::vector<HostArray>{dx};
              }};
}

OpCase make_global(const Shape& shape) {
  const auto area = static_cast<size_t>(shape[1] * shape[2]);
  const auto channels = static_cast<size_t>(shape[3]);
  return {.op = "global_average_pool",
          .name = fmt::format("n{}_{}x{}x{}", shape[0], shape[1], shape[2], shape[3]),
          .inputs = {{.name = "x", .shape = shape, .values = uniform(-1, 1)}},
          .run = [](std::span<const Tensor> in) { return std::vector{global_average_pool(in[0])}; },
          .reference =
              [=](std::span<const HostArray> in) {
                HostArray y(in[0].size() / area);
                for (size_t i = 0; i < in[0].size(); ++i) {
                  y[i / (area * channels) * channels + i % channels] += in[0][i] / static_cast<double>(area);
                }
                return std::vector<HostArray>{y};
              }};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all;
  for (const Kind kind : {Kind::max, Kind::average}) {
    for (const Sizes& z : std::initializer_list<Sizes>{
             {1, 1, 1, 1, 1, 1, 0},
             {1, 1, 1, 3, 3, 2, 1},
             {2, 5, 4, 7, 3, 2, 1},
             {1, 6, 7, 17, 2, 2, 0},
             {2, 7, 7, 3, 3, 1, 1},
             {1, 8, 9, 5, 2, 3, 1},
             {2, 6, 6, 64, 3, 2, 1},
             {1, 16, 16, 3, 16, 16, 0},
             {3, 23, 21, 24, 3, 2, 1},
             {2, 9, 10, 16, 3, 2, 0},
             {1, 6, 5, 16, 3, 1, 1},
             {1, 2, 1, 8, 3, 2, 1},
         }) {
      all.push_back(make(kind, z));
    }
  }
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 7}, Shape{3, 1, 2, 17}, Shape{2, 7, 7, 64}, Shape{5, 9, 7, 72},
                             Shape{3, 2, 5, 77}, Shape{2, 3, 3, 1024}}) {
    all.push_back(make_global(shape));
  }
  return all;
}

const RegisterOpCases registered(cases);

}  // namespace
}  // namespace residua::test
