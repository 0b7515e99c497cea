#include "core/ops/batch_norm_statistics.h"

#include "core/kernels/batch_norm.h"
#include "core/kernels/batch_norm_group_statistics.h"
#include "core/kernels/batch_norm_rstd.h"
#include "core/kernels/column_sum.h"
#include "core/kernels/run.h"

namespace residua {
namespace {

/// Adds the statistics of a batch to p.totals, if it is defined.
void add_totals(const ArgumentCheck& check, const BatchNormTensors& p, const NormStatistics& s, const Tensor& variance) {
  if (!p.totals.defined()) {
    return;
  }
  check.exactly("totals", p.totals, {s.channels * static_cast<int64_t>(sizeof(BatchNormTotal))}, DType::u8, s.mean.device());
  run(s.mean.device(), BatchNormAddTotals{.rows = s.rows,
                                          .group_rows = s.group_rows,
                                          .channels = s.channels,
                                          .group_mean = s.mean.data<float>(),
                                          .group_variance = variance.data<float>(),
                                          .totals = static_cast<BatchNormTotal*>(p.totals.data())});
}

}  // namespace

NormStatistics norm_statistics(const ArgumentCheck& check, const Tensor& x, const BatchNormTensors& p, Mode mode) {
  check.floating("x", x);
  if (x.shape().rank() < 2) {
    fail("{}: x is {}, wanted at least 2 dimensions with the channels last", check.op(), describe(x));
  }
  const int64_t channels = x.dim(-1);
  const int64_t rows = x.size() / channels;
  const Device device = x.device();
  check.exactly("gamma", p.gamma, {channels}, DType::f32, device);
  check.exactly("beta", p.beta, {channels}, DType::f32, device);

  NormStatistics s{.rows = rows, .group_rows = rows, .channels = channels, .mean = {}, .rstd = {}};
  if (mode == Mode::evaluate) {
    check.exactly("running_mean", p.running_mean, {channels}, DType::f32, device);
    check.exactly("running_var", p.running_var, {channels}, DType::f32, device);
    s.mean = p.running_mean.detached();
    s.rstd = empty({channels}, DType::f32, device);
    run(device,
        BatchNormRstd{
            .channels = channels, .epsilon = p.epsilon, .variance = p.running_var.data<float>(), .rstd = s.rstd.data<float>()});
    return s;
  }
  const int64_t images = x.dim(0);
  const bool grouped = p.group_of(images) < images;
  if (p.batch_rstd.defined()) {
    if (grouped) {
      fail("{}: the {} images form groups of {}, but batch_rstd holds statistics of them all", check.op(), images,
           p.group_images);
    }
    check.exactly("batch_mean", p.batch_mean, {channels}, DType::f32, device);
    check.exactly("batch_rstd", p.batch_rstd, {channels}, DType::f32, device);
    s.mean = p.batch_mean.detached();
    s.rstd = p.batch_rstd.detached();
    add_totals(check, p, s, p.batch_var);
    return s;
  }
  s.group_rows = grouped ? p.group_of(images) * (rows / images) : rows;
  const Shape tables{grouped ? (rows + s.group_rows - 1) / s.group_rows * channels : channels};
  s.rstd = empty(tables, DType::f32, device);
  s.mean = p.batch_mean.defined() && !grouped ? p.batch_mean.detached() : empty(tables, DType::f32, device);
  const Tensor variance = p.batch_var.defined() && !grouped ? p.batch_var : empty(tables, DType::f32, device);
  check.exactly("batch_mean", s.mean, tables, DType::f32, device);
  check.exactly("batch_var", variance, tables, DType::f32, device);
  run(device, BatchNormStatistics{.dtype = x.dtype(),
                                  .rows = rows,
                                  .group_rows = s.group_rows,
                                  .channels = channels,
                                  .x = x.data(),
                                  .epsilon = p.epsilon,
                                  .mean = s.mean.data<float>(),
                                  .variance = variance.data<float>(),
                                  .rstd = s.rstd.data<float>()});
  if (grouped && p.batch_mean.defined()) {
    check.exactly("batch_mean", p.batch_mean, {channels}, DType::f32, device);
    check.exactly("batch_var", p.batch_var, {channels}, DType::f32, device);
    run(device, BatchNormGroupMean{.rows = rows,
                                   .group_rows = s.group_rows,
                                   .channels = channels,
                                   .group_mean = s.mean.data<float>(),
                                   .group_variance = variance.data<float>(),
                                   .mean = p.batch_mean.data<float>(),
                                   .variance = p.batch_var.data<float>()});
  }
  add_totals(check, p, s, variance);
  return s;
}

NormSums::NormSums(int64_t groups, int64_t channels, Device device, Gradients& gradients, int gamma, int beta)
    : groups_(groups),
      dgamma_(gradients.wants(gamma) ? gradients.output(gamma) : empty({channels}, DType::f32, device)),
      dbeta_(gradients.wants(beta) ? gradients.output(beta) : empty({channels}, DType::f32, device)),
      g_(groups > 1 ? empty({groups * channels}, DType::f32, device) : dbeta_),
      g_xhat_(groups > 1 ? empty({groups * channels}, DType::f32, device) : dgamma_) {}

void NormSums::add_up_groups() const {
  if (groups_ == 1) {
    return;
  }
  for (const auto& [sums, total] : {std::pair{g_, dbeta_}, std::pair{g_xhat_, dgamma_}}) {
    run(total.device(),
        ColumnSum{.dtype = DType::f32, .rows = groups_, .columns = total.size(), .x = sums.data(), .y = total.data<float>()});
  }
}

}  // namespace residua
