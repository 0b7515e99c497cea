// Every instruction set computes what the baseline does, from and to unaligned memory, and writes nothing beside its outputs.
// That the best one is right is shown by the tests of the operations.
#include "core/cpu/isa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <type_traits>

#include "core/base/error.h"
#include "tests/cpu/levels.h"
#include "tests/support/random.h"

namespace residua::test {
namespace {

/// An array that is not aligned, between two elements that must stay as they are.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t size) : bytes_((static_cast<size_t>(size) + 2) * sizeof(T) + 1, kUntouched) {}
  T* data() const { return reinterpret_cast<T*>(const_cast<uint8_t*>(bytes_.data()) + sizeof(T)); }
  int64_t size() const { return static_cast<int64_t>((bytes_.size() - 1) / sizeof(T)) - 2; }
  bool intact() const {
    const auto end = bytes_.end() - static_cast<std::ptrdiff_t>(sizeof(T)) - 1;
    return std::count(bytes_.begin(), bytes_.begin() + sizeof(T), kUntouched) == sizeof(T) &&
           std::count(end, bytes_.end(), kUntouched) == sizeof(T) + 1;
  }
  std::vector<double> values() const {
    std::vector<double> all(static_cast<size_t>(size()));
    for (size_t i = 0; i < all.size(); ++i) {
      if constexpr (std::is_integral_v<T>) {
        all[i] = static_cast<double>(data()[i]);
      } else {
        all[i] = static_cast<double>(to_float(data()[i]));
      }
    }
    return all;
  }

 private:
  static constexpr uint8_t kUntouched = 0x5a;
  std::vector<uint8_t> bytes_;
};

/// What a kernel's case needs: inputs that are the same at each level, and outputs that are collected.
class Bench {
 public:
  Bench(Isa level, const std::string& name) : level_(level), random_(name) {}

  template <class Args>
  void run(const Args& args) const {
    run_at(level_, args);
  }
  Random& random() { return random_; }

  template <class T>
  T* in(int64_t size, double low = -2.0, double high = 2.0) {
    const auto array = std::make_shared<Guarded<T>>(size);
    for (int64_t i = 0; i < size; ++i) {
      if constexpr (std::is_integral_v<T>) {
        array->data()[i] = static_cast<T>(random_.integer(static_cast<int64_t>(low), static_cast<int64_t>(high)));
      } else {
        array->data()[i] = from_float<T>(static_cast<float>(random_.uniform(low, high)));
      }
    }
    kept_.push_back(array);
    return array->data();
  }
  template <class T>
  T* out(int64_t size) {
    const auto array = std::make_shared<Guarded<T>>(size);
    results_.push_back([array] { return array->values(); });
    intact_.push_back([array] { return array->intact(); });
    kept_.push_back(array);
    return array->data();
  }
  /// An input that is overwritten.
  template <class T>
  T* in_out(int64_t size, double low = -2.0, double high = 2.0) {
    const T* values = in<T>(size, low, high);
    T* array = out<T>(size);
    std::copy(values, values + size, array);
    return array;
  }

  std::vector<std::vector<double>> results() const {
    std::vector<std::vector<double>> all;
    for (size_t i = 0; i < results_.size(); ++i) {
      EXPECT_TRUE(intact_[i]()) << "output " << i << " is overrun";
      all.push_back(results_[i]());
    }
    return all;
  }

 private:
  Isa level_;
  Random random_;
  std::vector<std::shared_ptr<void>> kept_;
  std::vector<std::function<std::vector<double>()>> results_;
  std::vector<std::function<bool()>> intact_;
};

/// One rounding of the stored type, and of the sums before it.
template <class T>
double one_rounding() {
  return dtype_of<T> == DType::f32 ? 4e-6 : dtype_of<T> == DType::f16 ? 0x1p-10 : 0x1p-7;
}

/// Runs the case at all levels and wants what the baseline gives: exactly, or up to `tolerance` times (|value| + 1).
template <class Case>
void expect_agreement(const std::string& name, double tolerance, const Case& run_case) {
  std::vector<std::vector<double>> want;
  for (const Isa level : levels()) {
    Bench bench(level, name);
    run_case(bench);
    const std::vector<std::vector<double>> got = bench.results();
    want = want.empty() ? got : want;
    for (size_t output = 0; output < got.size(); ++output) {
      for (size_t i = 0; i < got[output].size(); ++i) {
        const double a = got[output][i];
        const double b = want[output][i];
        ASSERT_EQ(std::isnan(a), std::isnan(b)) << name << ", " << level_name(level) << ", output " << output << ", at " << i;
        ASSERT_TRUE(std::isnan(a) || a == b || std::fabs(a - b) <= tolerance * (std::fabs(b) + 1.0))
            << name << ", " << level_name(level) << ", output " << output << ", at " << i << ": " << a << ", baseline " << b;
      }
    }
  }
}

template <class T>
class Levels : public ::testing::Test {};

using FloatTypes = ::testing::Types<float, f16, bf16>;
TYPED_TEST_SUITE(Levels, FloatTypes);

constexpr int64_t kSizes[] = {0, 1, 7, 8, 15, 16, 17, 63, 64, 100, 10007};

TYPED_TEST(Levels, AgreeOnElementwiseKernels) {
  using T = TypeParam;
  constexpr DType kType = dtype_of<T>;
  for (const int64_t n : kSizes) {
    expect_agreement("add", 0.0, [&](Bench& b) {
      b.run(Add{.dtype = kType, .size = n, .a = b.in<T>(n), .b = b.in<T>(n), .y = b.out<T>(n)});
    });
    expect_agreement("add in place", 0.0, [&](Bench& b) {
      T* y = b.in_out<T>(n);
      b.run(Add{.dtype = kType, .size = n, .a = y, .b = b.in<T>(n), .y = y});
    });
    expect_agreement("relu", 0.0,
                     [&](Bench& b) { b.run(ReluForward{.dtype = kType, .size = n, .x = b.in<T>(n), .y = b.out<T>(n)}); });
    expect_agreement("relu backward", 0.0, [&](Bench& b) {
      b.run(ReluBackward{.dtype = kType, .size = n, .y = b.in<T>(n), .dy = b.in<T>(n), .dx = b.out<T>(n)});
    });
    expect_agreement("fill", 0.0, [&](Bench& b) { b.run(Fill{.dtype = kType, .size = n, .value = 0.3f, .x = b.out<T>(n)}); });
    expect_agreement("cast", 0.0, [&](Bench& b) {
      const T* x = b.in<T>(n);
      b.run(Cast{.x_dtype = kType, .y_dtype = DType::f32, .size = n, .x = x, .y = b.out<float>(n)});
      b.run(Cast{.x_dtype = kType, .y_dtype = DType::f16, .size = n, .x = x, .y = b.out<f16>(n)});
      b.run(Cast{.x_dtype = kType, .y_dtype = DType::bf16, .size = n, .x = x, .y = b.out<bf16>(n)});
    });
    for (const DType copy_type : {DType::f16, DType::bf16}) {
      expect_agreement("sgd", one_rounding<bf16>(), [&](Bench& b) {
        const StepState state{.learning_rate = 0.1f, .loss_scale = 8.0f, .found_inf = 0};
        const T* gradient = b.in<T>(n);
        float* weight = b.in_out<float>(n);
        float* velocity = b.in_out<float>(n);
        b.run(SgdUpdate{.gradient_dtype = kType,
                        .copy_dtype = copy_type,
                        .size = n,
                        .momentum = 0.9f,
                        .weight_decay = 1e-4f,
                        .state = &state,
                        .gradient = gradient,
                        .weight = weight,
                        .velocity = velocity,
                        .copy = nullptr});
        b.run(SgdUpdate{.gradient_dtype = kType,
                        .copy_dtype = copy_type,
                        .size = n,
                        .momentum = 0.9f,
                        .weight_decay = 1e-4f,
                        .state = &state,
                        .gradient = gradient,
                        .weight = weight,
                        .velocity = velocity,
                        .copy = copy_type == DType::f16 ? static_cast<void*>(b.out<f16>(n)) : b.out<bf16>(n)});
      });
    }
  }
}

TYPED_TEST(Levels, FindTheOneElementThatIsNotFinite) {
  for (const Isa level : levels()) {
    for (const int64_t n : {1, 17, 100, 10007}) {
      for (const float odd : {INFINITY, -INFINITY, NAN, 1.0f}) {
        for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
          std::vector<TypeParam> x(static_cast<size_t>(n), from_float<TypeParam>(3.0e4f));
          x[static_cast<size_t>(at)] = from_float<TypeParam>(odd);
          StepState state{.learning_rate = 0.1f, .loss_scale = 1.0f, .found_inf = 0};
          run_at(level, CheckFinite{.dtype = dtype_of<TypeParam>, .size = n, .x = x.data(), .state = &state});
          EXPECT_EQ(state.found_inf, odd == 1.0f ? 0 : 1) << level_name(level) << " " << n << " " << at;
          state.found_inf = 1;
          run_at(level, CheckFinite{.dtype = dtype_of<TypeParam>, .size = 0, .x = x.data(), .state = &state});
          EXPECT_EQ(state.found_inf, 1) << "what was found before must stay";
        }
      }
    }
  }
}

TYPED_TEST(Levels, AgreeOnBatchNorm) {
  using T = TypeParam;
  constexpr DType kType = dtype_of<T>;
  struct Rows {
    int64_t rows, channels;
  };
  const Rows shapes[] = {{1, 1}, {5, 3}, {37, 16}, {100, 17}, {129, 64}, {33, 80}, {1031, 48}, {300, 130}, {9, 1000}};
  for (const Rows& shape : shapes) {
    const int64_t rows = shape.rows;
    const int64_t channels = shape.channels;
    const int64_t n = rows * channels;
    const int64_t mask_bytes = (n + 7) / 8;
    const std::string name = fmt::format("[{}, {}]", rows, channels);
    expect_agreement("statistics " + name, 4e-6, [&](Bench& b) {
      float* rstd = b.in<float>(channels);  // of a single row: 1 / sqrt(epsilon), and its rounding
      b.run(BatchNormStatistics{.dtype = kType,
                                .rows = rows,
                                .group_rows = rows,
                                .channels = channels,
                                .x = b.in<T>(n),
                                .epsilon = 1e-3f,
                                .mean = b.out<float>(channels),
                                .variance = b.out<float>(channels),
                                .rstd = rstd});
    });
    for (const Activation activation : {Activation::none, Activation::relu}) {
      for (const bool add : {false, true}) {
        expect_agreement("apply " + name, one_rounding<T>(), [&](Bench& b) {
          const BatchNormApply args{.dtype = kType,
                                    .rows = rows,
                                    .group_rows = rows,
                                    .channels = channels,
                                    .x = b.in<T>(n),
                                    .residual = add ? b.in<T>(n) : nullptr,
                                    .gamma = b.in<float>(channels),
                                    .beta = b.in<float>(channels),
                                    .mean = b.in<float>(channels),
                                    .rstd = b.in<float>(channels, 0.5, 2.0),
                                    .activation = activation,
                                    .y = b.out<T>(n),
                                    .mask = nullptr};
          b.run(args);
          BatchNormApply masked = args;
          masked.mask = b.in<uint8_t>(mask_bytes, 0, 255);
          T* y = b.out<T>(n);
          masked.y = y;
          b.run(masked);
          for (int64_t i = 0; i < 8 * mask_bytes; ++i) {
            ASSERT_EQ(masked.mask[i / 8] >> (i % 8) & 1, i < n && to_float(y[i]) > 0.0f ? 1 : 0) << i;
          }
        });
      }
    }
    for (const bool masked : {false, true}) {
      const auto mask = [&](Bench& b) { return masked ? b.in<uint8_t>(mask_bytes, 0, 255) : nullptr; };
      for (const int terms : {1, 2}) {
        expect_agreement("backward reduce " + name, 4e-6 * std::sqrt(static_cast<double>(rows)), [&](Bench& b) {
          T* dy = b.in_out<T>(n);
          BatchNormBackwardReduce args{.dtype = kType,
                                       .rows = rows,
                                       .group_rows = rows,
                                       .channels = channels,
                                       .x = b.in<T>(n),
                                       .dy = dy,
                                       .more = terms == 2 ? b.in<T>(n) : nullptr,
                                       .mask = mask(b),
                                       .mean = b.in<float>(channels),
                                       .rstd = b.in<float>(channels, 0.5, 2.0),
                                       .sum_g = b.out<float>(channels),
                                       .sum_g_xhat = b.out<float>(channels),
                                       .g = terms == 2 ? b.out<T>(n) : nullptr};
          b.run(args);
          args.g = dy;
          b.run(args);
        });
      }
      expect_agreement("backward apply " + name, 4.0 * one_rounding<T>(), [&](Bench& b) {
        T* dy = b.in_out<T>(n);
        BatchNormBackwardApply args{.dtype = kType,
                                    .rows = rows,
                                    .group_rows = rows,
                                    .channels = channels,
                                    .x = b.in<T>(n),
                                    .dy = dy,
                                    .mask = mask(b),
                                    .gamma = b.in<float>(channels),
                                    .mean = b.in<float>(channels),
                                    .rstd = b.in<float>(channels, 0.5, 2.0),
                                    .sum_g = b.in<float>(channels),
                                    .sum_g_xhat = b.in<float>(channels),
                                    .dx = b.out<T>(n)};
        b.run(args);
        args.dx = dy;
        b.run(args);
      });
    }
    expect_agreement("column sum " + name, 4e-6 * std::sqrt(static_cast<double>(rows)), [&](Bench& b) {
      b.run(ColumnSum{.dtype = kType, .rows = rows, .columns = channels, .x = b.in<T>(n), .y = b.out<float>(channels)});
    });
  }
}

TEST(LevelsOfF32, AgreeOnRunningStatistics) {
  for (const int64_t n : kSizes) {
    for (const int32_t found_inf : {0, 1}) {
      expect_agreement("commit", 1e-6, [&](Bench& b) {
        const StepState state{.learning_rate = 0.1f, .loss_scale = 1.0f, .found_inf = found_inf};
        b.run(BatchNormCommit{.channels = n,
                              .momentum = 0.1f,
                              .state = &state,
                              .batch_mean = b.in<float>(n),
                              .batch_variance = b.in<float>(n),
                              .bessel_correction = b.in<float>(n),
                              .running_mean = b.in_out<float>(n),
                              .running_variance = b.in_out<float>(n)});
        b.run(BatchNormRstd{.channels = n, .epsilon = 1e-5f, .variance = b.in<float>(n, 0.1, 2.0), .rstd = b.out<float>(n)});
        b.run(BatchNormGroupMean{.rows = 8,
                                 .group_rows = 3,
                                 .channels = n,
                                 .group_mean = b.in<float>(3 * n),
                                 .group_variance = b.in<float>(3 * n, 0.1, 2.0),
                                 .mean = b.out<float>(n),
                                 .variance = b.out<float>(n)});
        b.run(BatchNormCombine{.ranks = 3,
                               .channels = n,
                               .rank = 1,
                               .parts = b.in<float>(3 * (2 * n + 1), 1, 9),
                               .epsilon = 1e-5f,
                               .mean = b.out<float>(n),
                               .variance = b.out<float>(n),
                               .rstd = b.out<float>(n),
                               .bessel_correction = b.out<float>(n),
                               .share = b.out<float>(1)});
        b.run(BatchNormShareSums{.size = n, .share = b.in<float>(1), .sums = b.in_out<float>(n)});
        b.run(Scale{.size = n, .factor = 0.3f, .x = b.in<float>(n), .y = b.out<float>(n)});
      });
    }
  }
}

TYPED_TEST(Levels, AgreeOnPooling) {
  using T = TypeParam;
  constexpr DType kType = dtype_of<T>;
  const PoolShape shapes[] = {{2, 12, 13, 64, 3, 2, 1}, {1, 5, 7, 3, 3, 2, 1}, {3, 8, 8, 20, 2, 2, 0},  {1, 9, 9, 17, 3, 1, 1},
                              {2, 7, 5, 16, 5, 3, 2},   {1, 1, 1, 5, 3, 2, 1}, {2, 11, 9, 70, 2, 3, 1}, {0, 8, 8, 16, 3, 2, 1}};
  for (const PoolShape& s : shapes) {
    const int64_t in = s.batch * s.in_height * s.in_width * s.channels;
    const int64_t out = s.batch * s.out_height() * s.out_width() * s.channels;
    const std::string name = fmt::format("[{}, {}, {}, {}]", s.batch, s.in_height, s.in_width, s.channels);
    expect_agreement("max pool " + name, one_rounding<T>(), [&](Bench& b) {
      T* x = b.in<T>(in);
      for (int64_t i = 0; i < in; ++i) {  // equal values, and now and then a NaN
        x[i] = i % 97 == 5 ? from_float<T>(NAN) : from_float<T>(std::round(to_float(x[i])));
      }
      b.run(MaxPoolForward{.dtype = kType, .shape = s, .x = x, .y = b.out<T>(out), .index = nullptr});
      uint8_t* index = b.out<uint8_t>(out);
      b.run(MaxPoolForward{.dtype = kType, .shape = s, .x = x, .y = b.out<T>(out), .index = index});
      b.run(MaxPoolBackward{.dtype = kType, .shape = s, .dy = b.in<T>(out), .index = index, .dx = b.out<T>(in)});
    });
    const int64_t c = s.channels;
    expect_agreement("batch norm, relu and max pool " + name, 4 * one_rounding<T>(), [&](Bench& b) {
      T* x = b.in<T>(in);
      for (int64_t i = 0; i < in; ++i) {
        x[i] = i % 97 == 5 ? from_float<T>(NAN) : from_float<T>(std::round(to_float(x[i])));
      }
      // Powers of two, so that every level makes the same values equal.
      float* gamma = b.in<float>(c);
      float* rstd = b.in<float>(c);
      float* mean = b.in<float>(c);
      for (int64_t i = 0; i < c; ++i) {
        gamma[i] = i % 2 == 0 ? 1.0f : -0.5f;
        rstd[i] = 2.0f;
        mean[i] = 0.25f;
      }
      const float* beta = b.in<float>(c, 0.0, 1.0);
      const float* zeros = b.in<float>(c, 0.0, 0.0);
      b.run(BatchNormReluMaxPoolForward{.dtype = kType,
                                        .shape = s,
                                        .group_images = s.batch,
                                        .x = x,
                                        .gamma = gamma,
                                        .beta = beta,
                                        .mean = mean,
                                        .rstd = rstd,
                                        .y = b.out<T>(out),
                                        .index = nullptr});
      uint8_t* index = b.out<uint8_t>(out);
      b.run(BatchNormReluMaxPoolForward{.dtype = kType,
                                        .shape = s,
                                        .group_images = s.batch,
                                        .x = x,
                                        .gamma = gamma,
                                        .beta = beta,
                                        .mean = mean,
                                        .rstd = rstd,
                                        .y = b.out<T>(out),
                                        .index = index});
      const T* dy = b.in<T>(out);
      const T* finite = b.in<T>(in);
      const T* y = b.in<T>(out);
      float* sum_g = b.out<float>(c);
      float* sum_g_xhat = b.out<float>(c);
      // The sums from x, then those from y.
      b.run(BatchNormReluMaxPoolBackwardReduce{.dtype = kType,
                                               .shape = s,
                                               .group_images = s.batch,
                                               .x = finite,
                                               .y = y,
                                               .dy = dy,
                                               .index = index,
                                               .gamma = zeros,
                                               .beta = beta,
                                               .mean = mean,
                                               .rstd = rstd,
                                               .sum_g = b.out<float>(c),
                                               .sum_g_xhat = b.out<float>(c)});
      b.run(BatchNormReluMaxPoolBackwardReduce{.dtype = kType,
                                               .shape = s,
                                               .group_images = s.batch,
                                               .x = finite,
                                               .y = y,
                                               .dy = dy,
                                               .index = index,
                                               .gamma = gamma,
                                               .beta = beta,
                                               .mean = mean,
                                               .rstd = rstd,
                                               .sum_g = sum_g,
                                               .sum_g_xhat = sum_g_xhat});
      b.run(BatchNormReluMaxPoolBackwardApply{.dtype = kType,
                                              .shape = s,
                                              .group_images = s.batch,
                                              .x = finite,
                                              .dy = dy,
                                              .index = index,
                                              .gamma = gamma,
                                              .mean = mean,
                                              .rstd = rstd,
                                              .sum_g = sum_g,
                                              .sum_g_xhat = sum_g_xhat,
                                              .dx = b.out<T>(in)});
    });
    expect_agreement("average pool " + name, one_rounding<T>(), [&](Bench& b) {
      b.run(AveragePoolForward{.dtype = kType, .shape = s, .x = b.in<T>(in), .y = b.out<T>(out)});
      b.run(AveragePoolBackward{.dtype = kType, .shape = s, .dy = b.in<T>(out), .dx = b.out<T>(in)});
    });
    const int64_t area = s.in_height * s.in_width;
    expect_agreement("global average pool " + name, one_rounding<T>(), [&](Bench& b) {
      b.run(GlobalAveragePoolForward{.dtype = kType,
                                     .batch = s.batch,
                                     .area = area,
                                     .channels = s.channels,
                                     .x = b.in<T>(in),
                                     .y = b.out<T>(s.batch * s.channels)});
      b.run(GlobalAveragePoolBackward{.dtype = kType,
                                      .batch = s.batch,
                                      .area = area,
                                      .channels = s.channels,
                                      .dy = b.in<T>(s.batch * s.channels),
                                      .dx = b.out<T>(in)});
    });
  }
}

TYPED_TEST(Levels, AgreeOnTheZeroPadShortcut) {
  using T = TypeParam;
  constexpr DType kType = dtype_of<T>;
  for (const int64_t stride : {1, 2, 3}) {
    for (const int64_t channels : {3, 16, 67}) {
      for (const ShortcutPool pool : {ShortcutPool::stride, ShortcutPool::average}) {
        for (const ShortcutPad pad : {ShortcutPad::end, ShortcutPad::both}) {
          const ZeroPadShortcutShape s{.batch = 2,
                                       .in_height = 7,
                                       .in_width = 5,
                                       .in_channels = channels,
                                       .out_channels = channels * 2 + 1,
                                       .stride = stride,
                                       .pool = pool,
                                       .pad = pad};
          const int64_t in = s.batch * s.in_height * s.in_width * s.in_channels;
          const int64_t out = s.batch * s.out_height() * s.out_width() * s.out_channels;
          expect_agreement("zero pad", one_rounding<T>(), [&](Bench& b) {
            b.run(ZeroPadShortcutForward{.dtype = kType, .shape = s, .x = b.in<T>(in), .y = b.out<T>(out)});
            b.run(ZeroPadShortcutBackward{.dtype = kType, .shape = s, .dy = b.in<T>(out), .dx = b.out<T>(in)});
          });
        }
      }
    }
  }
}

TYPED_TEST(Levels, AgreeOnTheLoss) {
  using T = TypeParam;
  constexpr DType kType = dtype_of<T>;
  for (const int64_t rows : {0, 1, 33}) {
    for (const int64_t classes : {1, 3, 10, 16, 37, 1000}) {
      for (const float smoothing : {0.0f, 0.1f}) {
        expect_agreement(fmt::format("loss of {} classes", classes), one_rounding<T>(), [&](Bench& b) {
          T* logits = b.in<T>(rows * classes, -20.0, 20.0);
          if (rows > 1 && classes > 1) {  // a NaN, an infinity, and equal logits
            logits[classes + 1] = from_float<T>(NAN);
            logits[3 * classes] = from_float<T>(-INFINITY);
            std::fill(logits + 5 * classes, logits + 6 * classes, from_float<T>(1.0f));
          }
          const int32_t* labels = b.in<int32_t>(rows, -1, static_cast<double>(classes - 1));
          const float dloss = 0.7f;
          float* loss = b.out<float>(rows);
          float* log_sum_exp = b.out<float>(rows);
          b.run(SoftmaxCrossEntropyForward{.dtype = kType,
                                           .rows = rows,
                                           .classes = classes,
                                           .logits = logits,
                                           .labels = labels,
                                           .label_smoothing = smoothing,
                                           .loss = loss,
                                           .log_sum_exp = log_sum_exp,
                                           .top1_errors = b.out<int32_t>(1),
                                           .top5_errors = b.out<int32_t>(1)});
          b.run(SoftmaxCrossEntropyBackward{.dtype = kType,
                                            .rows = rows,
                                            .classes = classes,
                                            .logits = logits,
                                            .labels = labels,
                                            .label_smoothing = smoothing,
                                            .log_sum_exp = log_sum_exp,
                                            .dloss = &dloss,
                                            .dlogits = b.out<T>(rows * classes)});
          b.run(MaskedMean{.rows = rows, .loss = loss, .labels = labels, .y = b.out<float>(1)});
        });
      }
    }
  }
}

TYPED_TEST(Levels, AgreeOnThePreparedInput) {
  using T = TypeParam;
  for (const int64_t batch : {0, 5}) {
    for (const int64_t in_channels : {1, 3}) {
      for (const int64_t channels : {in_channels, int64_t{4}, int64_t{7}}) {
        for (const auto& [per_pixel, shifted] : {std::pair{0, false}, {0, true}, {1, false}, {1, true}}) {
          expect_agreement("prepare", one_rounding<T>(), [&, per_pixel = per_pixel, shifted = shifted](Bench& b) {
            const int64_t height = 18, width = 19, in_height = 20, in_width = 17;
            SampleView views[5];
            const int32_t* top = b.in<int32_t>(batch, -25, 25);
            const int32_t* left = b.in<int32_t>(batch, -4, 4);
            const int32_t* flip = b.in<int32_t>(batch, 0, 1);
            const float* shift = b.in<float>(3 * batch, -20.0, 20.0);
            for (int64_t n = 0; n < batch; ++n) {
              views[n] = {top[n], left[n], flip[n], {}};
              std::copy_n(shift + 3 * n, shifted ? 3 : 0, views[n].color_shift);
            }
            b.run(PrepareInput{
                .dtype = dtype_of<T>,
                .batch = batch,
                .in_height = in_height,
                .in_width = in_width,
                .in_channels = in_channels,
                .height = height,
                .width = width,
                .channels = channels,
                .source = b.in<uint8_t>(batch * in_height * in_width * in_channels, 0, 255),
                .views = views,
                .mean = b.in<float>(per_pixel != 0 ? in_height * in_width * in_channels : in_channels, 100.0, 150.0),
                .per_pixel_mean = per_pixel,
                .inverse_std = b.in<float>(in_channels, 0.01, 0.02),
                .y = b.out<T>(batch * height * width * channels)});
          });
        }
      }
    }
  }
}

/// Ends the process with 0 if RESIDUA_ISA=`text` gives `want`.
[[noreturn]] void choose(const char* text, Isa want) {
  setenv("RESIDUA_ISA", text, 1);
  std::_Exit(isa() == want ? 0 : 1);
}

TEST(IsaDeathTest, IsLoweredByTheEnvironment) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(choose("baseline", Isa::baseline), ::testing::ExitedWithCode(0), "");
#ifdef RESIDUA_X86_64
  const Isa want = __builtin_cpu_supports("avx2") != 0 ? Isa::avx2 : Isa::baseline;
  EXPECT_EXIT(choose("avx2", want), ::testing::ExitedWithCode(0), "");
#endif
}

TEST(IsaDeathTest, ThatIsUnknownIsAnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto ask = [] {
    setenv("RESIDUA_ISA", "avx1024", 1);
    try {
      isa();
    } catch (const UsageError& error) {
      fmt::print(stderr, "{}\n", error.what());
      std::_Exit(2);
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(ask(), ::testing::ExitedWithCode(2), "RESIDUA_ISA is 'avx1024', wanted baseline");
}

}  // namespace
}  // namespace residua::test
