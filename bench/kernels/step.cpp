// What a training step has around its layers: input, loss, counters, update.
#include "bench/kernels/cudnn.h"
#include "bench/kernels/kernel_case.h"
#include "core/kernels/accumulate_metrics.h"
#include "core/kernels/augment_input.h"
#include "core/kernels/cast.h"
#include "core/kernels/check_finite.h"
#include "core/kernels/column_sum.h"
#include "core/kernels/finish_step.h"
#include "core/kernels/masked_mean.h"
#include "core/kernels/prepare_input.h"
#include "core/kernels/sgd.h"
#include "core/kernels/softmax_cross_entropy.h"

namespace residua::bench {
namespace {

constexpr int64_t kClasses = 1000;

bool is_16_bit(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

StepState* step_state(Operands& o) { return static_cast<StepState*>(o.zeroed(sizeof(StepState))); }

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
                                     .top = o.read<int32_t>(batch, 0, static_cast<double>(source - side)),
                                     .left = o.read<int32_t>(batch, 0, static_cast<double>(source - side)),
                                     .flip = o.read<uint8_t>(batch, 0, 1),
                                     .color_shift = o.read<float>(3 * batch, -10, 10),
                                     .mean = o.read<float>(3, 100, 150),
                                     .per_pixel_mean = 0,
                                     .inverse_std = o.read<float>(3, 0.01, 0.02),
                                     .y = o.written(batch * side * side * channels)};
                   o.count(static_cast<double>(batch * side * side * 3 - source_size));  // only the window is read
                   return sequence(o, args);
                 }});
}

/// Photos of which a square of side 320 is scaled to 256 pixels and the middle 224 of these are kept.
void add_augmented_input(std::vector<KernelCase>& all, int64_t batch) {
  constexpr int64_t kSide = 224;
  constexpr int64_t kRegion = 320;
  constexpr int64_t kUsed = kRegion * kSide / 256;
  all.push_back({.kernel = "AugmentInput", .shape = shape_name({batch, kSide, kSide, 4}), .own = [=](Operands& o) {
                   std::vector<AugmentImage> images;
                   for (int64_t n = 0; n < batch; ++n) {
                     images.push_back({.offset = n * kRegion * kRegion * 3,
                                       .region_height = kRegion,
                                       .region_width = kRegion,
                                       .region_top = 0,
                                       .region_left = 0,
                                       .domain_height = kRegion,
                                       .domain_width = kRegion,
                                       .resized_height = 256,
                                       .resized_width = 256,
                                       .window_top = 16,
                                       .window_left = 16,
                                       .top = 0,
                                       .left = 0,
                                       .flip = n % 2});
                   }
                   const auto bytes = static_cast<int64_t>(images.size() * sizeof(AugmentImage));
                   void* described = o.zeroed(bytes);
                   device_api::copy(o.device(), described, Device{}, images.data(), bytes);
                   o.count(static_cast<double>(bytes + batch * 3 * (kUsed * kUsed - kRegion * kRegion)));
                   return sequence(o, AugmentInput{.dtype = o.dtype(),
                                                   .batch = batch,
                                                   .height = kSide,
                                                   .width = kSide,
                                                   .channels = 4,
                                                   .source = o.read<uint8_t>(batch * kRegion * kRegion * 3, 0, 255),
                                                   .images = static_cast<const AugmentImage*>(described),
                                                   .color_shift = o.read<float>(batch * 3, -20, 20),
                                                   .mean = o.read<float>(3, 100, 150),
                                                   .per_pixel_mean = 0,
                                                   .inverse_std = o.read<float>(3, 0.01, 0.02),
                                                   .y = o.written(batch * kSide * kSide * 4)});
                 }});
}

void add_loss(std::vector<KernelCase>& all, int64_t batch) {
  const int64_t size = batch * kClasses;
  const std::string shape = shape_name({batch, kClasses});
  const auto labels = [=](Operands& o) { return o.read<int32_t>(batch, 0, kClasses - 1); };
  // Not beside cuDNN's softmax, which is another operation: it writes p, where the loss writes a number a row, and its backward
  // pass reads p and the gradient of p, where this one reads logits and labels.
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
    const StepState one{};  // the rate is 0: weights stay what they are, however often this runs
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
                   if (!is_16_bit(o.dtype())) {  // there is no copy
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
  add_augmented_input(all, batch);
  add_loss(all, batch);
  add_update(all, 11'689'512);  // ResNet-18
  add_update(all, 25'557'032);  // ResNet-50
  all.push_back(
      {.kernel = "FinishStep",
       .shape = "1",
       .own =
           [](Operands& o) {
             return sequence(
                 o, FinishStep{
                        .growth = 2.0f, .backoff = 0.5f, .largest = 65536.0f, .growth_interval = 2000, .state = step_state(o)});
           },
       .dtypes = {DType::f32}});
  return all;
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
