// The parts of a training step besides its layers: input, loss, metrics, update.
#include "bench/kernels/cudnn.h"
#include "bench/kernels/kernel_case.h"
#include "core/kernels/accumulate_metrics.h"
#include "core/kernels/cast.h"
#include "core/kernels/check_finite.h"
#include "core/kernels/column_sum.h"
#include "core/kernels/finish_step.h"
#include "core/kernels/masked_mean.h"
#include "core/kernels/prepare_input.h"
#include "core/kernels/scale.h"
#include "core/kernels/sgd.h"
#include "core/kernels/softmax_cross_entropy.h"

namespace residua::bench {
namespace {

constexpr int64_t kClasses = 1000;

bool is_16_bit(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

StepState* step_state(Operands& o) { return static_cast<StepState*>(o.zeroed(sizeof(StepState))); }

/// Windows with offsets from 0 to `most`, half of them mirrored.
const SampleView* views(Operands& o, int64_t batch, int64_t most) {
  std::vector<SampleView> views;
  for (int64_t n = 0; n < batch; ++n) {
    const auto shift = static_cast<float>(n % 21 - 10);
    views.push_back({.top = static_cast<int32_t>(7 * n % (most + 1)),
                     .left = static_cast<int32_t>(11 * n % (most + 1)),
                     .flip = static_cast<int32_t>(n % 2),
                     .color_shift = {shift, -shift, 0.5f * shift}});
  }
  const auto bytes = static_cast<int64_t>(views.size() * sizeof(SampleView));
  void* memory = o.zeroed(bytes);
  device_api::copy(o.device(), memory, Device{}, views.data(), bytes);
  o.count(static_cast<double>(bytes));
  return static_cast<const SampleView*>(memory);
}

void add_input(std::vector<KernelCase>& all, int64_t batch, int64_t source, int64_t side, int64_t channels) {
  all.push_back({.kernel = "PrepareInput", .shape = shape_name({batch, side, side, channels}), .own = [=](Operands& o) {
                   const int64_t source_size = batch * source * source * 3;
                   PrepareInput args{.dtype = o.dtype(),
                                     .batch = batch,
                                     .in_height = source,
                                     .in_width = source,
                                     .in_channels = 3,
                                     .height = side,
                                     .width = side,
                                     .channels = channels,
                                     .source = o.read<uint8_t>(source_size, 0, 255),
                                     .views = views(o, batch, source - side),
                                     .mean = o.read<float>(3, 100, 150),
                                     .per_pixel_mean = 0,
                                     .inverse_std = o.read<float>(3, 0.01, 0.02),
                                     .y = o.written(batch * side * side * channels)};
                   o.count(static_cast<double>(batch * side * side * 3 - source_size));  // only the window is read
                   return sequence(o, args);
                 }});
}

void add_loss(std::vector<KernelCase>& all, int64_t batch) {
  const int64_t size = batch * kClasses;
  const std::string shape = shape_name({batch, kClasses});
  const auto labels = [=](Operands& o) { return o.read<int32_t>(batch, 0, kClasses - 1); };
  // Not compared with cuDNN's softmax, which is a different operation: it writes p, while the loss writes one number per row;
  // its backward pass reads p and the gradient of p, while this one reads logits and labels.
  all.push_back({.kernel = "SoftmaxCrossEntropyForward", .shape = shape, .own = [=](Operands& o) {
                   return sequence(o, SoftmaxCrossEntropyForward{.dtype = o.dtype(),
                                                                 .rows = batch,
                                                                 .classes = kClasses,
                                                                 .logits = o.read(size),
                                                                 .labels = labels(o),
                                                                 .label_smoothing = 0.1f,
                                                                 .loss = o.written<float>(batch),
                                                                 .log_sum_exp = o.written<float>(batch),
                                                                 .top1_errors = o.written<int32_t>(1),
                                                                 .top5_errors = o.written<int32_t>(1)});
                 }});
  all.push_back({.kernel = "SoftmaxCrossEntropyBackward", .shape = shape, .own = [=](Operands& o) {
                   return sequence(o, SoftmaxCrossEntropyBackward{.dtype = o.dtype(),
                                                                  .rows = batch,
                                                                  .classes = kClasses,
                                                                  .logits = o.read(size),
                                                                  .labels = labels(o),
                                                                  .label_smoothing = 0.1f,
                                                                  .log_sum_exp = o.read<float>(batch, 6, 7),
                                                                  .dloss = o.read<float>(1, 1, 1),
                                                                  .dlogits = o.written(size)});
                 }});
  all.push_back({.kernel = "ColumnSum",
                 .shape = shape,
                 .own =
                     [=](Operands& o) {
                       return sequence(o, ColumnSum{.dtype = o.dtype(),
                                                    .rows = batch,
                                                    .columns = kClasses,
                                                    .x = o.read(size),
                                                    .y = o.written<float>(kClasses)});
                     },
                 .cudnn = cudnn_column_sum(batch, kClasses)});
  all.push_back(
      {.kernel = "MaskedMean",
       .shape = shape_name({batch}),
       .own =
           [=](Operands& o) {
             return sequence(
                 o,
                 MaskedMean{.rows = batch, .loss = o.read<float>(batch, 0, 7), .labels = labels(o), .y = o.written<float>(1)});
           },
       .dtypes = {DType::f32}});
  all.push_back({.kernel = "AccumulateMetrics",
                 .shape = shape_name({batch}),
                 .own =
                     [=](Operands& o) {
                       return sequence(o,
                                       AccumulateMetrics{.rows = batch,
                                                         .row_loss = o.read<float>(batch, 0, 7),
                                                         .labels = labels(o),
                                                         .top1_errors = o.read<int32_t>(1, 0, 9),
                                                         .top5_errors = o.read<int32_t>(1, 0, 9),
                                                         .state = step_state(o),
                                                         .sums = static_cast<MetricsTotals*>(o.zeroed(sizeof(MetricsTotals)))});
                     },
                 .dtypes = {DType::f32}});
}

void add_update(std::vector<KernelCase>& all, int64_t parameters) {
  const std::string shape = shape_name({parameters});
  all.push_back({.kernel = "CheckFinite", .shape = shape, .own = [=](Operands& o) {
                   return sequence(
                       o, CheckFinite{.dtype = o.dtype(), .size = parameters, .x = o.read(parameters), .state = step_state(o)});
                 }});
  const auto update = [=](Operands& o, bool copied) {
    auto* const state = step_state(o);
    const StepState one{};  // the learning rate is 0, so the weights never change
    device_api::copy(o.device(), state, Device{}, &one, sizeof one);
    return SgdUpdate{.gradient_dtype = o.dtype(),
                     .copy_dtype = is_16_bit(o.dtype()) ? o.dtype() : DType::bf16,
                     .size = parameters,
                     .momentum = 0.9f,
                     .weight_decay = 1e-4f,
                     .state = state,
                     .gradient = o.read(parameters),
                     .weight = o.updated<float>(parameters),
                     .velocity = o.updated<float>(parameters),
                     .copy = copied ? o.written(parameters) : nullptr};
  };
  all.push_back({.kernel = "SgdUpdate",
                 .shape = shape,
                 .own = [=](Operands& o) { return sequence(o, update(o, is_16_bit(o.dtype()))); },
                 .unfused = [=](Operands& o) -> Work {
                   if (!is_16_bit(o.dtype())) {  // no 16-bit copy
                     return {};
                   }
                   const SgdUpdate plain = update(o, false);
                   return sequence(o, plain,
                                   Cast{.x_dtype = DType::f32,
                                        .y_dtype = o.dtype(),
                                        .size = parameters,
                                        .x = plain.weight,
                                        .y = o.written(parameters)});
                 }});
}

std::vector<KernelCase> cases(int64_t batch) {
  std::vector<KernelCase> all;
  add_input(all, batch, 256, 224, 4);
  add_input(all, batch, 40, 32, 4);
  add_loss(all, batch);
  add_update(all, 11'689'512);  // ResNet-18
  add_update(all, 25'557'032);  // ResNet-50
  all.push_back({.kernel = "Scale",
                 .shape = shape_name({1}),  // the loss scale of a part of a batch
                 .own =
                     [](Operands& o) {
                       return sequence(o,
                                       Scale{.size = 1, .factor = 0.5f, .x = o.read<float>(1, 1, 2), .y = o.written<float>(1)});
                     },
                 .dtypes = {DType::f32}});
  all.push_back({.kernel = "FinishStep",
                 .shape = "1",
                 .own =
                     [](Operands& o) {
                       return sequence(o, FinishStep{.growth = 2.0f,
                                                     .backoff = 0.5f,
                                                     .smallest = 1.0f,
                                                     .largest = 65536.0f,
                                                     .growth_interval = 2000,
                                                     .most_skipped = 10,
                                                     .state = step_state(o)});
                     },
                 .dtypes = {DType::f32}});
  return all;
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
