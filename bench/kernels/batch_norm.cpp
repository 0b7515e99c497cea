#include "core/kernels/batch_norm.h"

#include "bench/kernels/cudnn.h"
#include "core/kernels/add.h"
#include "core/kernels/batch_norm_group_statistics.h"
#include "core/kernels/batch_norm_rstd.h"
#include "core/kernels/relu.h"

namespace residua::bench {
namespace {

using Form = NormalizationForm;

/// The contracts of one layer on its own tensors. Allocates only what a case asks for.
struct Layer {
  Layer(Operands& o, int64_t rows, int64_t channels) : o(o), rows(rows), channels(channels) {}

  int64_t size() const { return rows * channels; }
  const float* parameter() { return o.read<float>(channels, 0.5, 1.5); }
  float* sum() { return o.written<float>(channels); }
  const uint8_t* mask() { return o.read<uint8_t>((size() + 7) / 8, 0, 255); }

  BatchNormStatistics statistics(const void* x) {
    return {.dtype = o.dtype(),
            .rows = rows,
            .group_rows = rows,
            .channels = channels,
            .x = x,
            .epsilon = 1e-5f,
            .mean = sum(),
            .variance = sum(),
            .rstd = sum()};
  }
  BatchNormApply apply(const void* x, Form form) {
    const bool activated = form != Form::plain;
    return {.dtype = o.dtype(),
            .rows = rows,
            .group_rows = rows,
            .channels = channels,
            .x = x,
            .residual = form == Form::add_relu ? o.read(size()) : nullptr,
            .gamma = parameter(),
            .beta = parameter(),
            .mean = parameter(),
            .rstd = parameter(),
            .activation = activated ? Activation::relu : Activation::none,
            .y = o.written(size()),
            .mask = activated ? o.written<uint8_t>((size() + 7) / 8) : nullptr};
  }
  /// `more` is a second term of the gradient.
  BatchNormBackwardReduce reduce(const void* x, const void* dy, Form form, const void* more = nullptr) {
    return {.dtype = o.dtype(),
            .rows = rows,
            .group_rows = rows,
            .channels = channels,
            .x = x,
            .dy = dy,
            .more = more,
            .mask = form == Form::plain ? nullptr : mask(),
            .mean = parameter(),
            .rstd = parameter(),
            .sum_g = sum(),
            .sum_g_xhat = sum(),
            .g = form == Form::add_relu ? o.written(size()) : nullptr};
  }
  BatchNormBackwardApply backward_apply(const void* x, const void* dy, const uint8_t* mask) {
    return {.dtype = o.dtype(),
            .rows = rows,
            .group_rows = rows,
            .channels = channels,
            .x = x,
            .dy = dy,
            .mask = mask,
            .gamma = parameter(),
            .mean = parameter(),
            .rstd = parameter(),
            .sum_g = parameter(),
            .sum_g_xhat = parameter(),
            .dx = o.written(size())};
  }
  /// The simple kernels that a fused batch normalization replaces.
  Add add(const void* a) { return {.dtype = o.dtype(), .size = size(), .a = a, .b = o.read(size()), .y = o.written(size())}; }
  ReluForward relu(const void* x) { return {.dtype = o.dtype(), .size = size(), .x = x, .y = o.written(size())}; }
  ReluBackward relu_backward(const void* dy) {
    return {.dtype = o.dtype(), .size = size(), .y = o.read(size()), .dy = dy, .dx = o.written(size())};
  }

  Operands& o;
  int64_t rows, channels;
};

/// y = relu(batch_norm(x) [+ residual]) with simple kernels.
Work unfused_forward(Operands& o, int64_t rows, int64_t channels, Form form, bool with_statistics) {
  Layer l(o, rows, channels);
  const void* x = o.read(l.size());
  const BatchNormApply apply = l.apply(x, Form::plain);
  const auto finish = [&](const auto&... contracts) {
    return with_statistics ? sequence(o, l.statistics(x), contracts...) : sequence(o, contracts...);
  };
  if (form == Form::relu) {
    return finish(apply, l.relu(apply.y));
  }
  const Add add = l.add(apply.y);
  return finish(apply, add, l.relu(add.y));
}

std::string suffix(Form form) { return form == Form::plain ? "" : form == Form::relu ? " relu" : " add relu"; }

void add_layer(std::vector<KernelCase>& all, const Shape& sizes) {
  const int64_t channels = sizes[3];
  const int64_t rows = sizes.size() / channels;
  const std::string shape = shape_name({sizes[0], sizes[1], sizes[2], channels});
  all.push_back({.kernel = "BatchNormStatistics", .shape = shape, .own = [=](Operands& o) {
                   Layer l(o, rows, channels);
                   return sequence(o, l.statistics(o.read(l.size())));
                 }});
  for (const Form form : {Form::plain, Form::relu, Form::add_relu}) {
    const bool activated = form != Form::plain;
    all.push_back(
        {.kernel = "BatchNormApply" + suffix(form),
         .shape = shape,
         .own =
             [=](Operands& o) {
               Layer l(o, rows, channels);
               return sequence(o, l.apply(o.read(l.size()), form));
             },
         .unfused = activated ? Maker([=](Operands& o) { return unfused_forward(o, rows, channels, form, false); }) : Maker(),
         .cudnn = activated ? Maker() : cudnn_batch_norm_apply(sizes)});
    all.push_back({.kernel = "BatchNormBackwardReduce" + suffix(form),
                   .shape = shape,
                   .own =
                       [=](Operands& o) {
                         Layer l(o, rows, channels);
                         const void* more = form == Form::add_relu ? o.read(l.size()) : nullptr;  // as after a block
                         return sequence(o, l.reduce(o.read(l.size()), o.read(l.size()), form, more));
                       },
                   .unfused = activated ? Maker([=](Operands& o) {
                     Layer l(o, rows, channels);
                     const auto sums = [&](const ReluBackward& relu) {
                       return l.reduce(o.read(l.size()), relu.dx, Form::plain);
                     };
                     if (form == Form::relu) {
                       const ReluBackward relu = l.relu_backward(o.read(l.size()));
                       return sequence(o, relu, sums(relu));
                     }
                     const Add add = l.add(o.read(l.size()));
                     const ReluBackward relu = l.relu_backward(add.y);
                     return sequence(o, add, relu, sums(relu));
                   })
                                        : Maker()});
    if (form != Form::add_relu) {  // BackwardReduce has already masked that form's gradient
      all.push_back({.kernel = "BatchNormBackwardApply" + suffix(form),
                     .shape = shape,
                     .own =
                         [=](Operands& o) {
                           Layer l(o, rows, channels);
                           return sequence(
                               o, l.backward_apply(o.read(l.size()), o.read(l.size()), activated ? l.mask() : nullptr));
                         },
                     .unfused = activated ? Maker([=](Operands& o) {
                       Layer l(o, rows, channels);
                       const ReluBackward relu = l.relu_backward(o.read(l.size()));
                       return sequence(o, relu, l.backward_apply(o.read(l.size()), relu.dx, nullptr));
                     })
                                          : Maker()});
    }
    const std::string op = form == Form::plain ? "batch_norm" : form == Form::relu ? "batch_norm_relu" : "batch_norm_add_relu";
    all.push_back(
        {.kernel = op + " forward",
         .shape = shape,
         .own =
             [=](Operands& o) {
               Layer l(o, rows, channels);
               const void* x = o.read(l.size());
               o.count(static_cast<double>(l.size() * size_bytes(o.dtype())));  // x crosses twice: once for the statistics
               return sequence(o, l.statistics(x), l.apply(x, form));
             },
         .unfused = activated ? Maker([=](Operands& o) { return unfused_forward(o, rows, channels, form, true); }) : Maker(),
         .cudnn = cudnn_batch_norm(Pass::forward, form, sizes)});
    all.push_back({.kernel = op + " backward",
                   .shape = shape,
                   .own =
                       [=](Operands& o) {
                         Layer l(o, rows, channels);
                         const void* x = o.read(l.size());
                         const void* dy = o.read(l.size());
                         const BatchNormBackwardReduce reduce = l.reduce(x, dy, form);
                         BatchNormBackwardApply apply = l.backward_apply(x, dy, reduce.mask);
                         double again =
                             2.0 * static_cast<double>(l.size() * size_bytes(o.dtype()));  // x and the gradient cross twice
                         if (reduce.g != nullptr) {
                           apply.dy = reduce.g;
                           apply.mask = nullptr;
                         } else if (activated) {
                           again += static_cast<double>((l.size() + 7) / 8);
                         }
                         o.count(again);
                         apply.sum_g = reduce.sum_g;
                         apply.sum_g_xhat = reduce.sum_g_xhat;
                         return sequence(o, reduce, apply);
                       },
                   .unfused = activated ? Maker([=](Operands& o) {
                     Layer l(o, rows, channels);
                     const ReluBackward relu = l.relu_backward(o.read(l.size()));
                     const void* x = o.read(l.size());
                     return sequence(o, relu, l.reduce(x, relu.dx, Form::plain), l.backward_apply(x, relu.dx, nullptr));
                   })
                                        : Maker(),
                   .cudnn = cudnn_batch_norm(Pass::backward, form, sizes)});
  }
}

std::vector<KernelCase> cases(int64_t batch) {
  std::vector<KernelCase> all;
  struct Sizes {
    int64_t side, channels;
  };
  for (const auto& [side, channels] :
       {Sizes{112, 64}, Sizes{56, 64}, Sizes{28, 128}, Sizes{14, 256}, Sizes{7, 512}, Sizes{56, 256}, Sizes{32, 16}}) {
    add_layer(all, {batch, side, side, channels});
  }
  // All layers of a ResNet-18 at once.
  constexpr int64_t kChannels = 4800;
  all.push_back({.kernel = "BatchNormCommit",
                 .shape = shape_name({kChannels}),
                 .own =
                     [](Operands& o) {
                       const auto* state = static_cast<const StepState*>(o.zeroed(sizeof(StepState)));
                       return sequence(o, BatchNormCommit{.channels = kChannels,
                                                          .momentum = 0.1f,
                                                          .state = state,
                                                          .batch_mean = o.read<float>(kChannels, -1, 1),
                                                          .batch_variance = o.read<float>(kChannels, 0, 1),
                                                          .bessel_correction = o.read<float>(kChannels, 1, 1),
                                                          .running_mean = o.updated<float>(kChannels),
                                                          .running_variance = o.updated<float>(kChannels)});
                     },
                 .dtypes = {DType::f32}});
  constexpr int64_t kGroup = 32;  // images
  const int64_t groups = (batch + kGroup - 1) / kGroup;
  const int64_t area = 7 * 7;
  all.push_back({.kernel = "BatchNormGroupMean",
                 .shape = shape_name({groups, 512}),
                 .own =
                     [=](Operands& o) {
                       return sequence(o, BatchNormGroupMean{.rows = batch * area,
                                                             .group_rows = kGroup * area,
                                                             .channels = 512,
                                                             .group_mean = o.read<float>(groups * 512, -1, 1),
                                                             .group_variance = o.read<float>(groups * 512, 0, 1),
                                                             .mean = o.written<float>(512),
                                                             .variance = o.written<float>(512)});
                     },
                 .dtypes = {DType::f32}});
  all.push_back({.kernel = "BatchNormAddTotals",
                 .shape = shape_name({groups, 512}),
                 .own =
                     [=](Operands& o) {
                       return sequence(o, BatchNormAddTotals{
                                              .rows = batch * area,
                                              .group_rows = kGroup * area,
                                              .channels = 512,
                                              .group_mean = o.read<float>(groups * 512, -1, 1),
                                              .group_variance = o.read<float>(groups * 512, 0, 1),
                                              .totals = static_cast<BatchNormTotal*>(o.zeroed(512 * sizeof(BatchNormTotal)))});
                     },
                 .dtypes = {DType::f32}});
  all.push_back({.kernel = "BatchNormRstd",
                 .shape = shape_name({512}),
                 .own =
                     [](Operands& o) {
                       return sequence(o, BatchNormRstd{.channels = 512,
                                                        .epsilon = 1e-5f,
                                                        .variance = o.read<float>(512, 0, 1),
                                                        .rstd = o.written<float>(512)});
                     },
                 .dtypes = {DType::f32}});
  return all;
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
