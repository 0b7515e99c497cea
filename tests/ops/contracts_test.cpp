// Kernels called directly: what no operation reaches, or not in all types and sizes, and addresses that packs do not fit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "core/kernels/accumulate_metrics.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/batch_norm_group_statistics.h"
#include "core/kernels/batch_norm_rstd.h"
#include "core/kernels/cast.h"
#include "core/kernels/check_finite.h"
#include "core/kernels/column_sum.h"
#include "core/kernels/fill.h"
#include "core/kernels/finish_step.h"
#include "core/kernels/masked_mean.h"
#include "core/kernels/relu.h"
#include "core/kernels/run.h"
#include "core/kernels/scale.h"
#include "core/kernels/sgd.h"
#include "tests/support/compare.h"
#include "tests/support/contract_check.h"
#include "tests/support/op_case.h"
#include "tests/support/poisoned_memory.h"

namespace residua::test {
namespace {

constexpr DType kFloating[] = {DType::f32, DType::f16, DType::bf16};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kChannels = 4099;
constexpr int64_t kLarge = 20011;  // several blocks, the last one not full, and a last pack that is not either

std::vector<float> random_values(int64_t size, double low, double high, uint64_t seed) {
  Random random(fmt::format("contracts {}", seed));
  HostArray drawn(static_cast<size_t>(size));
  uniform(low, high)(random, drawn);
  return {drawn.begin(), drawn.end()};
}

Tensor on(Device device, const std::vector<float>& values, DType dtype) {
  return from_values({static_cast<int64_t>(values.size())}, values, dtype, device);
}

/// The address of element `i`.
void* at(const Tensor& tensor, int64_t i) { return static_cast<std::byte*>(tensor.data()) + i * size_bytes(tensor.dtype()); }

std::vector<double> widened(const Tensor& tensor) {
  const std::vector<float> values = tensor.to_vector();
  return {values.begin(), values.end()};
}

/// A structure on a device.
template <class T>
class OnDevice {
 public:
  OnDevice(Device device, const T& value) : device_(device), memory_(empty({int64_t{sizeof(T)}}, DType::u8, device)) {
    device_api::copy(device, memory_.data(), Device{}, &value, sizeof value);
  }
  T* get() const { return static_cast<T*>(memory_.data()); }
  T value() const {
    T value{};
    device_api::copy(Device{}, &value, device_, memory_.data(), sizeof value);
    device_api::synchronize(device_);
    return value;
  }

 private:
  Device device_;
  Tensor memory_;
};

StepState state_of(float learning_rate, float loss_scale, int32_t found_inf) {
  StepState state{};
  state.learning_rate = learning_rate;
  state.loss_scale = loss_scale;
  state.found_inf = found_inf;
  return state;
}

void fill_writes_its_range_alone(Device device) {
  for (const DType dtype : kFloating) {
    for (const int64_t size : {int64_t{0}, int64_t{1}, int64_t{7}, int64_t{64}, kLarge}) {
      for (const int64_t offset : {0, 1}) {
        const Tensor x = full({size + 2}, 3.0f, dtype, device);
        run(device, Fill{.dtype = dtype, .size = size, .value = -1.5f, .x = at(x, offset)});
        std::vector<float> want(static_cast<size_t>(size + 2), 3.0f);
        std::fill_n(want.begin() + offset, size, -1.5f);
        EXPECT_EQ(x.to_vector(), want) << name(dtype) << ", " << size << " from " << offset;
      }
    }
  }
}

void elementwise_kernels_take_any_address_and_work_in_place(Device device) {
  for (const DType dtype : kFloating) {
    for (const int64_t size : {int64_t{0}, int64_t{5}, kLarge}) {
      for (const int64_t offset : {0, 1, 4}) {
        SCOPED_TRACE(fmt::format("{}, {} from {}", name(dtype), size, offset));
        const auto begin = static_cast<size_t>(offset);
        const auto end = static_cast<size_t>(offset + size);
        const std::vector<float> values = random_values(size + 8, -1, 1, 1);

        const Tensor x = on(device, values, dtype);
        std::vector<float> want = x.to_vector();
        for (size_t i = begin; i < end; ++i) {
          want[i] = std::max(want[i], 0.0f);
        }
        run(device, ReluForward{.dtype = dtype, .size = size, .x = at(x, offset), .y = at(x, offset)});
        EXPECT_EQ(x.to_vector(), want);

        const Tensor dy = on(device, random_values(size + 8, -1, 1, 2), dtype);
        std::vector<float> want_gradient = dy.to_vector();
        for (size_t i = begin; i < end; ++i) {
          want_gradient[i] = want[i] > 0 ? want_gradient[i] : 0;
        }
        run(device, ReluBackward{.dtype = dtype, .size = size, .y = at(x, offset), .dy = at(dy, offset), .dx = at(dy, offset)});
        EXPECT_EQ(dy.to_vector(), want_gradient);

        for (const DType to : kFloating) {
          const Tensor y = full({size + 8}, 3.0f, to, device);
          std::vector<float> want_cast(static_cast<size_t>(size + 8), 3.0f);
          for (size_t i = begin; i < end; ++i) {
            want_cast[i] = static_cast<float>(rounded(want[i], to));
          }
          run(device, Cast{.x_dtype = dtype, .y_dtype = to, .size = size, .x = at(x, offset), .y = at(y, offset)});
          EXPECT_EQ(y.to_vector(), want_cast) << "to " << name(to);
        }
      }
    }
  }
}

void check_finite_finds_one_bad_element_anywhere(Device device) {
  for (const DType dtype : kFloating) {
    for (const int64_t size : {int64_t{1}, int64_t{13}, kLarge}) {
      SCOPED_TRACE(fmt::format("{}, {}", name(dtype), size));
      // Their sum overflows: what counts is each element alone.
      std::vector<float> values(static_cast<size_t>(size), dtype == DType::f16 ? 65504.0f : 3e38f);
      const auto found = [&](const std::vector<float>& elements, int32_t before) {
        const Tensor x = on(device, elements, dtype);
        const OnDevice<StepState> state(device, state_of(0.1f, 1.0f, before));
        run(device, CheckFinite{.dtype = dtype, .size = size, .x = x.data(), .state = state.get()});
        return state.value().found_inf;
      };
      EXPECT_EQ(found(values, 0), 0);
      EXPECT_EQ(found(values, 1), 1) << "of another tensor";
      for (const int64_t place : {int64_t{0}, size / 2, size - 1}) {
        for (const float bad : {kInfinity, -kInfinity, std::nanf("")}) {
          std::vector<float> planted = values;
          planted[static_cast<size_t>(place)] = bad;
          EXPECT_EQ(found(planted, 0), 1) << bad << " at " << place;
        }
      }
      EXPECT_EQ(found(std::vector<float>(values.size(), kInfinity), 0), 1);
    }
  }
}

void column_sum_agrees_with_its_definition(Device device) {
  for (const DType dtype : kFloating) {
    for (const auto& [rows, columns] :
         {std::pair<int64_t, int64_t>{0, 3}, {1, 1}, {5, 7}, {700, 24}, {333, 5}, {40, 1000}, {3, 4096}}) {
      const Tensor x = on(device, random_values(rows * columns, -1, 1, 3), dtype);
      const Tensor y = full({columns}, std::nanf(""), DType::f32, device);
      std::vector<double> want(static_cast<size_t>(columns));
      const std::vector<double> values = widened(x);
      for (size_t i = 0; i < values.size(); ++i) {
        want[i % want.size()] += values[i];
      }
      run(device, ColumnSum{.dtype = dtype, .rows = rows, .columns = columns, .x = x.data(), .y = y.data<float>()});
      EXPECT_TRUE(close(y, want, 1e-6, std::sqrt(static_cast<double>(rows))))
          << name(dtype) << ", " << rows << " x " << columns;
    }
  }
}

void counted_mean_leaves_ignored_rows_out(Device device) {
  for (const int64_t rows : {1, 33, 1000}) {
    std::vector<float> loss = random_values(rows, 0, 5, 4);
    std::vector<float> labels(loss.size());
    double sum = 0.0;
    double counted = 0.0;
    for (size_t i = 0; i < loss.size(); ++i) {
      labels[i] = i % 3 == 1 ? -1.0f : static_cast<float>(i % 5);
      loss[i] = labels[i] < 0 ? 0 : loss[i];
      sum += loss[i];
      counted += labels[i] < 0 ? 0 : 1;
    }
    const Tensor y = full({1}, std::nanf(""), DType::f32, device);
    run(device, MaskedMean{.rows = rows,
                           .loss = on(device, loss, DType::f32).data<float>(),
                           .labels = on(device, labels, DType::i32).data<int32_t>(),
                           .y = y.data<float>()});
    EXPECT_NEAR(y.to_vector()[0], sum / counted, 1e-6) << rows << " rows";
    run(device, MaskedMean{.rows = rows,
                           .loss = zeros({rows}, DType::f32, device).data<float>(),
                           .labels = full({rows}, -1.0f, DType::i32, device).data<int32_t>(),
                           .y = y.data<float>()});
    EXPECT_EQ(y.to_vector()[0], 0.0f) << rows << " ignored rows";
  }
}

void sgd_follows_its_formula_in_all_types(Device device) {
  constexpr float kRate = 0.05f;
  constexpr float kScale = 1024.0f;
  constexpr float kMomentum = 0.9f;
  constexpr float kDecay = 0.01f;
  for (const DType gradient_dtype : kFloating) {
    for (const DType copy_dtype : {DType::f16, DType::bf16}) {
      for (const int64_t size : {int64_t{1}, int64_t{11}, kLarge}) {
        for (const int64_t offset : {0, 1}) {
          for (const bool skipped : {false, true}) {
            SCOPED_TRACE(fmt::format("{} to {}, {} from {}{}", name(gradient_dtype), name(copy_dtype), size, offset,
                                     skipped ? ", skipped" : ""));
            const Tensor gradient = on(device, random_values(size + 2, -900, 900, 5), gradient_dtype);
            const Tensor weight = on(device, random_values(size + 2, -1, 1, 6), DType::f32);
            const Tensor velocity = on(device, random_values(size + 2, -1, 1, 7), DType::f32);
            const Tensor copy = full({size + 2}, 7.0f, copy_dtype, device);
            const std::vector<double> g = widened(gradient);
            std::vector<double> w = widened(weight);
            std::vector<double> v = widened(velocity);
            for (size_t i = static_cast<size_t>(offset); !skipped && i < static_cast<size_t>(size + offset); ++i) {
              v[i] = kMomentum * v[i] + g[i] / kScale + kDecay * w[i];
              w[i] -= kRate * v[i];
            }
            const OnDevice<StepState> state(device, state_of(kRate, kScale, skipped ? 1 : 0));
            run(device, SgdUpdate{.gradient_dtype = gradient_dtype,
                                  .copy_dtype = copy_dtype,
                                  .size = size,
                                  .momentum = kMomentum,
                                  .weight_decay = kDecay,
                                  .state = state.get(),
                                  .gradient = at(gradient, offset),
                                  .weight = static_cast<float*>(at(weight, offset)),
                                  .velocity = static_cast<float*>(at(velocity, offset)),
                                  .copy = at(copy, offset)});
            EXPECT_TRUE(close(weight, w, skipped ? 0.0 : 1e-6));
            EXPECT_TRUE(close(velocity, v, skipped ? 0.0 : 1e-6));
            const std::vector<float> updated = weight.to_vector();
            std::vector<float> want_copy(updated.size(), 7.0f);
            for (size_t i = static_cast<size_t>(offset); !skipped && i < static_cast<size_t>(size + offset); ++i) {
              want_copy[i] = static_cast<float>(rounded(static_cast<double>(updated[i]), copy_dtype));
            }
            EXPECT_EQ(copy.to_vector(), want_copy);
          }
        }
      }
    }
  }
}

void sgd_needs_no_copy(Device device) {
  const Tensor weight = full({9}, 1.0f, DType::f32, device);
  const Tensor velocity = full({9}, 2.0f, DType::f32, device);
  const Tensor gradient = full({9}, 8.0f, DType::f32, device);
  const OnDevice<StepState> state(device, state_of(0.5f, 4.0f, 0));
  run(device, SgdUpdate{.gradient_dtype = DType::f32,
                        .copy_dtype = DType::bf16,
                        .size = 9,
                        .momentum = 0.5f,
                        .weight_decay = 0.0f,
                        .state = state.get(),
                        .gradient = gradient.data(),
                        .weight = weight.data<float>(),
                        .velocity = velocity.data<float>(),
                        .copy = nullptr});
  EXPECT_EQ(velocity.to_vector(), std::vector<float>(9, 3.0f));
  EXPECT_EQ(weight.to_vector(), std::vector<float>(9, -0.5f));
}

void finish_step_counts_and_moves_the_loss_scale(Device device) {
  struct Case {
    int32_t found_inf;
    int32_t interval;
    int32_t good_steps;
    float scale;
    float want_scale;
    int32_t want_good_steps;
    int64_t want_in_a_row;  // after 5
  };
  for (const Case& c : {Case{0, 3, 1, 8, 8, 2, 0}, Case{0, 3, 2, 8, 16, 0, 0}, Case{0, 3, 2, 48, 64, 0, 0},
                        Case{1, 3, 2, 8, 2, 0, 5}, Case{1, 3, 2, 1, 0.5f, 0, 5}, Case{1, 3, 2, 0.5f, 0.5f, 0, 6},
                        Case{1, 3, 2, 0.25f, 0.25f, 0, 6}, Case{0, 0, 2, 8, 8, 2, 0}, Case{1, 0, 2, 8, 8, 2, 6}}) {
    StepState before = state_of(0.1f, c.scale, c.found_inf);
    before.good_steps = c.good_steps;
    before.accepted_steps = int64_t{1} << 40;
    before.skipped_steps = 5;
    before.skipped_in_a_row = 5;
    const OnDevice<StepState> state(device, before);
    run(device, FinishStep{.growth = 2.0f,
                           .backoff = 0.25f,
                           .smallest = 0.5f,
                           .largest = 64.0f,
                           .growth_interval = c.interval,
                           .most_skipped = 0,
                           .state = state.get()});
    const StepState after = state.value();
    SCOPED_TRACE(fmt::format("found_inf {}, interval {}, scale {}", c.found_inf, c.interval, c.scale));
    EXPECT_EQ(after.loss_scale, c.want_scale);
    EXPECT_EQ(after.good_steps, c.want_good_steps);
    EXPECT_EQ(after.accepted_steps, before.accepted_steps + (c.found_inf != 0 ? 0 : 1));
    EXPECT_EQ(after.skipped_steps, before.skipped_steps + (c.found_inf != 0 ? 1 : 0));
    EXPECT_EQ(after.skipped_in_a_row, c.want_in_a_row);
    EXPECT_EQ(after.diverged_at, 0);
    EXPECT_EQ(after.learning_rate, before.learning_rate);
    EXPECT_EQ(after.found_inf, 0) << "the next step begins anew";
  }
}

void finish_step_ends_training_after_too_many_skipped_steps(Device device) {
  // Of each step: whether it is skipped, and what the state is then, with at most 2 in a row.
  struct Step {
    int32_t found_inf;
    int64_t in_a_row;
    int64_t diverged_at;
  };
  const OnDevice<StepState> state(device, StepState{});
  int32_t found_before = 0;
  for (const Step& step : {Step{1, 1, 0}, Step{0, 0, 0}, Step{1, 1, 0}, Step{1, 2, 4}, Step{0, 3, 4}, Step{1, 4, 4}}) {
    StepState before = state.value();
    EXPECT_EQ(before.found_inf, found_before);
    before.found_inf |= step.found_inf;
    device_api::copy(device, state.get(), Device{}, &before, sizeof before);
    run(device, FinishStep{.growth = 2.0f,
                           .backoff = 0.5f,
                           .smallest = 1.0f,
                           .largest = 1.0f,
                           .growth_interval = 0,
                           .most_skipped = 2,
                           .state = state.get()});
    const StepState after = state.value();
    EXPECT_EQ(after.skipped_in_a_row, step.in_a_row);
    EXPECT_EQ(after.diverged_at, step.diverged_at);
    found_before = step.diverged_at != 0 ? 1 : 0;
  }
  EXPECT_EQ(state.value().accepted_steps, 1);
  EXPECT_EQ(state.value().skipped_steps, 5);
}

void metrics_add_up_over_steps_that_were_not_skipped(Device device) {
  for (const int64_t rows : {1, 33, 5003}) {
    SCOPED_TRACE(fmt::format("{} rows", rows));
    std::vector<float> loss = random_values(rows, 0, 5, 8);
    std::vector<float> labels(loss.size());
    MetricsTotals want{.loss = 100, .images = 10, .top1_errors = 7, .top5_errors = 3};
    const OnDevice<MetricsTotals> sums(device, want);
    for (size_t i = 0; i < loss.size(); ++i) {
      labels[i] = i % 3 == 1 ? -1.0f : static_cast<float>(i % 5);
      loss[i] = labels[i] < 0 ? 0 : loss[i];
    }
    const Tensor losses = on(device, loss, DType::f32);
    const Tensor label_tensor = on(device, labels, DType::i32);
    const Tensor errors = on(device, {9, 4}, DType::i32);
    const OnDevice<StepState> accepted(device, state_of(0.1f, 1.0f, 0));
    const OnDevice<StepState> skipped(device, state_of(0.1f, 1.0f, 1));
    for (const StepState* state : {static_cast<const StepState*>(nullptr), static_cast<const StepState*>(accepted.get()),
                                   static_cast<const StepState*>(skipped.get())}) {
      run(device, AccumulateMetrics{.rows = rows,
                                    .row_loss = losses.data<float>(),
                                    .labels = label_tensor.data<int32_t>(),
                                    .top1_errors = errors.data<int32_t>(),
                                    .top5_errors = errors.data<int32_t>() + 1,
                                    .state = state,
                                    .sums = sums.get()});
      if (state != skipped.get()) {
        for (size_t i = 0; i < loss.size(); ++i) {
          want.loss += static_cast<double>(loss[i]);
          want.images += labels[i] < 0 ? 0 : 1;
        }
        want.top1_errors += 9;
        want.top5_errors += 4;
      }
      const MetricsTotals got = sums.value();
      EXPECT_NEAR(got.loss, want.loss, 1e-9 * want.loss);
      EXPECT_EQ(got.images, want.images);
      EXPECT_EQ(got.top1_errors, want.top1_errors);
      EXPECT_EQ(got.top5_errors, want.top5_errors);
    }
  }
}

void batch_norm_rstd_agrees_with_its_definition(Device device) {
  constexpr float kEpsilon = 1e-3f;
  for (const int64_t channels : {int64_t{1}, int64_t{31}, kChannels}) {
    std::vector<float> variance = random_values(channels, 0, 3, 9);
    variance.back() = 0;
    std::vector<double> want;
    for (const float v : variance) {
      want.push_back(1 / std::sqrt(static_cast<double>(v) + static_cast<double>(kEpsilon)));
    }
    const Tensor rstd = full({channels}, std::nanf(""), DType::f32, device);
    run(device, BatchNormRstd{.channels = channels,
                              .epsilon = kEpsilon,
                              .variance = on(device, variance, DType::f32).data<float>(),
                              .rstd = rstd.data<float>()});
    EXPECT_TRUE(close(rstd, want, 1e-6)) << channels << " channels";
  }
}

void batch_norm_commit_follows_its_formula(Device device) {
  constexpr float kMomentum = 0.1f;
  for (const int64_t channels : {int64_t{1}, int64_t{31}, kChannels}) {
    for (const bool skipped : {false, true}) {
      SCOPED_TRACE(fmt::format("{} channels{}", channels, skipped ? ", skipped" : ""));
      const Tensor batch_mean = on(device, random_values(channels, -2, 2, 10), DType::f32);
      const Tensor batch_variance = on(device, random_values(channels, 0, 3, 11), DType::f32);
      const Tensor bessel_correction = on(device, random_values(channels, 1, 2, 12), DType::f32);
      const Tensor mean = on(device, random_values(channels, -2, 2, 13), DType::f32);
      const Tensor variance = on(device, random_values(channels, 0, 3, 14), DType::f32);
      std::vector<double> want_mean = widened(mean);
      std::vector<double> want_variance = widened(variance);
      const std::vector<double> m = widened(batch_mean);
      const std::vector<double> v = widened(batch_variance);
      const std::vector<double> factor = widened(bessel_correction);
      for (size_t c = 0; !skipped && c < m.size(); ++c) {
        want_mean[c] += static_cast<double>(kMomentum) * (m[c] - want_mean[c]);
        want_variance[c] += static_cast<double>(kMomentum) * (v[c] * factor[c] - want_variance[c]);
      }
      const OnDevice<StepState> state(device, state_of(0.1f, 1.0f, skipped ? 1 : 0));
      run(device, BatchNormCommit{.channels = channels,
                                  .momentum = kMomentum,
                                  .state = state.get(),
                                  .batch_mean = batch_mean.data<float>(),
                                  .batch_variance = batch_variance.data<float>(),
                                  .bessel_correction = bessel_correction.data<float>(),
                                  .running_mean = mean.data<float>(),
                                  .running_variance = variance.data<float>()});
      EXPECT_TRUE(close(mean, want_mean, skipped ? 0.0 : 1e-6));
      EXPECT_TRUE(close(variance, want_variance, skipped ? 0.0 : 1e-6));
    }
  }
}

void batch_norm_commit_needs_no_state_and_no_correction(Device device) {
  const Tensor mean = on(device, {1, 2}, DType::f32);
  const Tensor variance = on(device, {3, 4}, DType::f32);
  run(device, BatchNormCommit{.channels = 2,
                              .momentum = 0.25f,
                              .state = nullptr,
                              .batch_mean = on(device, {5, -2}, DType::f32).data<float>(),
                              .batch_variance = on(device, {7, 0}, DType::f32).data<float>(),
                              .bessel_correction = nullptr,
                              .running_mean = mean.data<float>(),
                              .running_variance = variance.data<float>()});
  EXPECT_TRUE(close(mean, std::vector<double>{2, 1}, 1e-7));
  EXPECT_TRUE(close(variance, std::vector<double>{4, 3}, 1e-7));
}

/// Rows in groups: whole ones, and a smaller last one.
struct Grouped {
  int64_t rows, group_rows;
  int64_t groups() const { return (rows + group_rows - 1) / group_rows; }
  double count(int64_t group) const { return static_cast<double>(std::min(group_rows, rows - group * group_rows)); }
};
constexpr Grouped kGrouped[] = {{7, 7}, {6, 3}, {8, 3}, {1000, 37}};

void group_means_agree_with_their_definition(Device device) {
  for (const int64_t channels : {int64_t{1}, int64_t{31}, kChannels}) {
    for (const Grouped& z : kGrouped) {
      SCOPED_TRACE(fmt::format("{} channels, {} rows in groups of {}", channels, z.rows, z.group_rows));
      const Tensor means = on(device, random_values(z.groups() * channels, -2, 2, 15), DType::f32);
      const Tensor variances = on(device, random_values(z.groups() * channels, 0, 3, 16), DType::f32);
      std::vector<double> want_mean(static_cast<size_t>(channels));
      std::vector<double> want_variance(want_mean.size());
      const std::vector<double> m = widened(means);
      const std::vector<double> v = widened(variances);
      for (size_t i = 0; i < m.size(); ++i) {
        const size_t c = i % want_mean.size();
        const double n = z.count(static_cast<int64_t>(i / want_mean.size()));
        want_mean[c] += m[i] / static_cast<double>(z.groups());
        want_variance[c] += v[i] * n / (n - 1) / static_cast<double>(z.groups());
      }
      const Tensor mean = full({channels}, std::nanf(""), DType::f32, device);
      const Tensor variance = full({channels}, std::nanf(""), DType::f32, device);
      run(device, BatchNormGroupMean{.rows = z.rows,
                                     .group_rows = z.group_rows,
                                     .channels = channels,
                                     .group_mean = means.data<float>(),
                                     .group_variance = variances.data<float>(),
                                     .mean = mean.data<float>(),
                                     .variance = variance.data<float>()});
      EXPECT_TRUE(close(mean, want_mean, 2e-7));
      EXPECT_TRUE(close(variance, want_variance, 2e-7));
    }
  }
}

// Values far from zero, whose sums of squares would cancel in fp32.
void totals_are_those_of_all_values(Device device) {
  constexpr int64_t kFew = 3;
  for (const Grouped& z : kGrouped) {
    const Tensor totals = zeros({kFew * static_cast<int64_t>(sizeof(BatchNormTotal))}, DType::u8, device);
    std::vector<double> all[kFew];
    for (uint64_t batch = 0; batch < 3; ++batch) {
      std::vector<float> means;
      std::vector<float> variances;
      for (int64_t g = 0; g < z.groups(); ++g) {
        for (int64_t c = 0; c < kFew; ++c) {
          // Two values, mean - deviation and mean + deviation, half of the rows each.
          const auto i = static_cast<double>(3 * g + c) + static_cast<double>(batch);
          const double mean = std::round(1000 * static_cast<double>(c) + std::fmod(37 * i, 11));
          const double deviation = 0.5 * (1 + std::fmod(i, 4));
          means.push_back(static_cast<float>(mean));
          variances.push_back(static_cast<float>(deviation * deviation));
          for (double r = 0; r < z.count(g); ++r) {
            all[c].insert(all[c].end(), {mean - deviation, mean + deviation});
          }
        }
      }
      run(device, BatchNormAddTotals{.rows = z.rows,
                                     .group_rows = z.group_rows,
                                     .channels = kFew,
                                     .group_mean = on(device, means, DType::f32).data<float>(),
                                     .group_variance = on(device, variances, DType::f32).data<float>(),
                                     .totals = static_cast<BatchNormTotal*>(totals.data())});
    }
    BatchNormTotal got[kFew];
    device_api::copy(Device{}, got, device, totals.data(), totals.bytes());
    for (size_t c = 0; c < kFew; ++c) {
      const double n = static_cast<double>(all[c].size());
      double mean = 0;
      double squares = 0;
      for (const double value : all[c]) {
        mean += value / n;
      }
      for (const double value : all[c]) {
        squares += (value - mean) * (value - mean);
      }
      EXPECT_EQ(got[c].count, static_cast<double>(3 * z.rows));
      EXPECT_NEAR(got[c].mean, mean, 1e-9 * (1 + std::fabs(mean)));
      EXPECT_NEAR(got[c].squares / got[c].count, squares / n, 1e-9 * squares / n);
    }
  }
}

void scale_multiplies_in_place_too(Device device) {
  for (const int64_t size : {int64_t{1}, int64_t{31}, kLarge}) {
    const Tensor x = on(device, random_values(size, -2, 2, 17), DType::f32);
    std::vector<double> want = widened(x);
    for (double& value : want) {
      value *= 0.375;
    }
    const Tensor y = full({size}, std::nanf(""), DType::f32, device);
    run(device, Scale{.size = size, .factor = 0.375f, .x = x.data<float>(), .y = y.data<float>()});
    EXPECT_TRUE(close(y, want, 1e-7));
    run(device, Scale{.size = size, .factor = 0.375f, .x = x.data<float>(), .y = x.data<float>()});
    EXPECT_TRUE(close(x, want, 1e-7));
  }
}

const RegisterContractChecks kChecks({
    {"FillWritesItsRangeAlone", fill_writes_its_range_alone},
    {"ElementwiseKernelsTakeAnyAddressAndWorkInPlace", elementwise_kernels_take_any_address_and_work_in_place},
    {"CheckFiniteFindsOneBadElementAnywhere", check_finite_finds_one_bad_element_anywhere},
    {"ColumnSumAgreesWithItsDefinition", column_sum_agrees_with_its_definition},
    {"CountedMeanLeavesIgnoredRowsOut", counted_mean_leaves_ignored_rows_out},
    {"SgdFollowsItsFormulaInAllTypes", sgd_follows_its_formula_in_all_types},
    {"SgdNeedsNoCopy", sgd_needs_no_copy},
    {"FinishStepCountsAndMovesTheLossScale", finish_step_counts_and_moves_the_loss_scale},
    {"FinishStepEndsTrainingAfterTooManySkippedSteps", finish_step_ends_training_after_too_many_skipped_steps},
    {"MetricsAddUpOverStepsThatWereNotSkipped", metrics_add_up_over_steps_that_were_not_skipped},
    {"BatchNormRstdAgreesWithItsDefinition", batch_norm_rstd_agrees_with_its_definition},
    {"BatchNormCommitFollowsItsFormula", batch_norm_commit_follows_its_formula},
    {"BatchNormCommitNeedsNoStateAndNoCorrection", batch_norm_commit_needs_no_state_and_no_correction},
    {"GroupMeansAgreeWithTheirDefinition", group_means_agree_with_their_definition},
    {"TotalsAreThoseOfAllValues", totals_are_those_of_all_values},
    {"ScaleMultipliesInPlaceToo", scale_multiplies_in_place_too},
});

struct Param {
  ContractCheck check;
  Device device;
};

// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's name
void PrintTo(const Param& param, std::ostream* out) { *out << param.check.name << " on " << param.device.string(); }

std::vector<Param> params() {
  std::vector<Param> all;
  for (const ContractCheck& check : contract_checks()) {
    for (const Device device : test_devices()) {
      all.push_back({check, device});
    }
  }
  return all;
}

class Contracts : public ::testing::TestWithParam<Param> {};

TEST_P(Contracts, Hold) {
  const PoisonedMemory poisoned(GetParam().device);
  GetParam().check.run(GetParam().device);
}

INSTANTIATE_TEST_SUITE_P(All, Contracts, ::testing::ValuesIn(params()), [](const auto& info) {
  return info.param.check.name + (info.param.device.type == Device::Type::cpu ? "_cpu" : "_cuda");
});

}  // namespace
}  // namespace residua::test
