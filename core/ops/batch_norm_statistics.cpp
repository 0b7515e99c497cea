#include "core/ops/batch_norm_statistics.h"

#include "core/distributed/communicator.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/batch_norm_group_statistics.h"
#include "core/kernels/batch_norm_ranks.h"
#include "core/kernels/batch_norm_rstd.h"
#include "core/kernels/column_sum.h"
#include "core/kernels/fill.h"
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

void running_statistics(const ArgumentCheck& check, const BatchNormTensors& p, NormStatistics& s) {
  const Device device = p.gamma.device();
  check.exactly("running_mean", p.running_mean, {s.channels}, DType::f32, device);
  check.exactly("running_var", p.running_var, {s.channels}, DType::f32, device);
  s.mean = p.running_mean.detached();
  s.rstd = empty({s.channels}, DType::f32, device);
  run(device,
      BatchNormRstd{
          .channels = s.channels, .epsilon = p.epsilon, .variance = p.running_var.data<float>(), .rstd = s.rstd.data<float>()});
}

/// Takes the statistics that a convolution has computed. Returns the variance.
Tensor given_statistics(const ArgumentCheck& check, const BatchNormTensors& p, NormStatistics& s) {
  for (const auto& [name, tensor] :
       {std::pair{"batch_mean", p.batch_mean}, std::pair{"batch_var", p.batch_var}, std::pair{"batch_rstd", p.batch_rstd}}) {
    check.exactly(name, tensor, {s.channels}, DType::f32, p.gamma.device());
  }
  s.mean = p.batch_mean.detached();
  s.rstd = p.batch_rstd.detached();
  return p.batch_var;
}

/// Computes the statistics of x, in groups of s.group_rows. Returns the variance.
Tensor batch_statistics(const ArgumentCheck& check, const Tensor& x, const BatchNormTensors& p, NormStatistics& s) {
  const Device device = x.device();
  const bool grouped = s.group_rows < s.rows;
  const Shape tables{(s.rows + s.group_rows - 1) / s.group_rows * s.channels};
  s.rstd = empty(tables, DType::f32, device);
  s.mean = p.batch_mean.defined() && !grouped ? p.batch_mean.detached() : empty(tables, DType::f32, device);
  const Tensor variance = p.batch_var.defined() && !grouped ? p.batch_var : empty(tables, DType::f32, device);
  check.exactly("batch_mean", s.mean, tables, DType::f32, device);
  check.exactly("batch_var", variance, tables, DType::f32, device);
  run(device, BatchNormStatistics{.dtype = x.dtype(),
                                  .rows = s.rows,
                                  .group_rows = s.group_rows,
                                  .channels = s.channels,
                                  .x = x.data(),
                                  .epsilon = p.epsilon,
                                  .mean = s.mean.data<float>(),
                                  .variance = variance.data<float>(),
                                  .rstd = s.rstd.data<float>()});
  if (grouped && p.batch_mean.defined()) {
    check.exactly("batch_mean", p.batch_mean, {s.channels}, DType::f32, device);
    check.exactly("batch_var", p.batch_var, {s.channels}, DType::f32, device);
    run(device, BatchNormGroupMean{.rows = s.rows,
                                   .group_rows = s.group_rows,
                                   .channels = s.channels,
                                   .group_mean = s.mean.data<float>(),
                                   .group_variance = variance.data<float>(),
                                   .mean = p.batch_mean.data<float>(),
                                   .variance = p.batch_var.data<float>()});
  }
  return variance;
}

/// Replaces the statistics of this rank's rows by those of the rows of all ranks.
void combine_ranks(const ArgumentCheck& check, const BatchNormTensors& p, const Tensor& variance, NormStatistics& s) {
  const Device device = variance.device();
  const int64_t channels = s.channels;
  const int64_t row = 2 * channels + 1;
  if (p.bessel_correction.defined()) {
    check.exactly("bessel_correction", p.bessel_correction, {channels}, DType::f32, device);
  }
  const Tensor parts = empty({p.ranks->world(), row}, DType::f32, device);
  const Tensor own = parts.slice(p.ranks->rank() * row, {row});
  own.slice(0, {channels}).copy_from(s.mean);
  own.slice(channels, {channels}).copy_from(variance);
  run(device,
      Fill{.dtype = DType::f32, .size = 1, .value = static_cast<float>(s.rows), .x = own.slice(2 * channels, {1}).data()});
  p.ranks->gather_rows(parts);
  p.ranks->finish();
  s.ranks = p.ranks;
  s.share = empty({1}, DType::f32, device);
  run(device, BatchNormCombine{.ranks = p.ranks->world(),
                               .channels = channels,
                               .rank = p.ranks->rank(),
                               .parts = parts.data<float>(),
                               .epsilon = p.epsilon,
                               .mean = s.mean.data<float>(),
                               .variance = variance.data<float>(),
                               .rstd = s.rstd.data<float>(),
                               .bessel_correction = p.bessel_correction.defined() ? p.bessel_correction.data<float>() : nullptr,
                               .share = s.share.data<float>()});
}

}  // namespace

NormStatistics norm_statistics(const ArgumentCheck& check, const Tensor& x, const BatchNormTensors& p, Mode mode) {
  check.floating("x", x);
  if (x.shape().rank() < 2) {
    fail("{}: x is {}, wanted at least 2 dimensions with the channels last", check.op(), describe(x));
  }
  const int64_t channels = x.dim(-1);
  const int64_t rows = x.size() / channels;
  check.exactly("gamma", p.gamma, {channels}, DType::f32, x.device());
  check.exactly("beta", p.beta, {channels}, DType::f32, x.device());

  NormStatistics s{.rows = rows, .group_rows = rows, .channels = channels, .mean = {}, .rstd = {}};
  if (mode == Mode::evaluate) {
    running_statistics(check, p, s);
    return s;
  }
  const int64_t images = x.dim(0);
  const bool grouped = p.group_of(images) < images;
  const bool several_ranks = p.ranks != nullptr && !p.ranks->alone();
  if (grouped && p.batch_rstd.defined()) {
    fail("{}: the {} images form groups of {}, but batch_rstd holds statistics of them all", check.op(), images,
         p.group_images);
  }
  if (grouped && several_ranks) {
    fail("{}: the {} images form groups of {}, but {} ranks normalize together; wanted one or the other", check.op(), images,
         p.group_images, p.ranks->world());
  }
  s.group_rows = grouped ? p.group_of(images) * (rows / images) : rows;
  const Tensor variance = p.batch_rstd.defined() ? given_statistics(check, p, s) : batch_statistics(check, x, p, s);
  add_totals(check, p, s, variance);
  if (several_ranks) {
    combine_ranks(check, p, variance, s);
  }
  return s;
}

NormSums::NormSums(const NormStatistics& s, Gradients& gradients, int gamma, int beta)
    : groups_(s.groups()),
      ranks_(s.ranks),
      share_(s.share),
      dgamma_(gradients.wants(gamma) ? gradients.output(gamma) : empty({s.channels}, DType::f32, s.mean.device())),
      dbeta_(gradients.wants(beta) ? gradients.output(beta) : empty({s.channels}, DType::f32, s.mean.device())),
      both_(groups_ > 1 || ranks_ != nullptr ? empty({2, s.mean.size()}, DType::f32, s.mean.device()) : Tensor()),
      g_(both_.defined() ? both_.slice(0, s.mean.shape()) : dbeta_),
      g_xhat_(both_.defined() ? both_.slice(s.mean.size(), s.mean.shape()) : dgamma_) {}

void NormSums::give_gradients() const {
  if (!both_.defined()) {
    return;
  }
  for (const auto& [sums, total] : {std::pair{g_, dbeta_}, std::pair{g_xhat_, dgamma_}}) {
    if (groups_ == 1) {
      total.copy_from(sums);
      continue;
    }
    run(total.device(),
        ColumnSum{.dtype = DType::f32, .rows = groups_, .columns = total.size(), .x = sums.data(), .y = total.data<float>()});
  }
}

void NormSums::add_up_ranks() const {
  if (ranks_ == nullptr) {
    return;
  }
  ranks_->sum(both_);
  ranks_->finish();
  run(both_.device(), BatchNormShareSums{.size = both_.size(), .share = share_.data<float>(), .sums = both_.data<float>()});
}

}  // namespace residua
