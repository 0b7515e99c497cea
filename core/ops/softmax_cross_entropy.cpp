#include "core/ops/softmax_cross_entropy.h"

#include "core/autograd/tape.h"
#include "core/kernels/masked_mean.h"
#include "core/kernels/run.h"
#include "core/kernels/softmax_cross_entropy.h"
#include "core/ops/check.h"

namespace residua {

SoftmaxCrossEntropy softmax_cross_entropy(const Tensor& logits, const Tensor& labels, float label_smoothing) {
  const ArgumentCheck check("softmax_cross_entropy");
  check.floating("logits", logits);
  check.rank("logits", logits, 2);
  const int64_t rows = logits.dim(0), classes = logits.dim(1);
  const Device device = logits.device();
  check.exactly("labels", labels, {rows}, DType::i32, device);
  if (!(label_smoothing >= 0.0f && label_smoothing <= 1.0f)) {
    fail("softmax_cross_entropy: label_smoothing is {}, wanted 0 to 1", label_smoothing);
  }

  SoftmaxCrossEntropy out;
  out.row_loss = empty({rows}, DType::f32, device);
  out.top1_errors = empty({1}, DType::i32, device);
  out.top5_errors = empty({1}, DType::i32, device);
  const Tensor log_sum_exp = empty({rows}, DType::f32, device);
  run(device, SoftmaxCrossEntropyForward{.dtype = logits.dtype(),
                                         .rows = rows,
                                         .classes = classes,
                                         .logits = logits.data(),
                                         .labels = labels.data<int32_t>(),
                                         .label_smoothing = label_smoothing,
                                         .loss = out.row_loss.data<float>(),
                                         .log_sum_exp = log_sum_exp.data<float>(),
                                         .top1_errors = out.top1_errors.data<int32_t>(),
                                         .top5_errors = out.top5_errors.data<int32_t>()});
  const Tensor loss = empty({}, DType::f32, device);
  run(device,
      MaskedMean{.rows = rows, .loss = out.row_loss.data<float>(), .labels = labels.data<int32_t>(), .y = loss.data<float>()});

  out.loss = record(loss, {logits}, "softmax_cross_entropy",
                    [logits = logits.detached(), labels, log_sum_exp, label_smoothing, rows, classes](const Tensor& dloss,
                                                                                                      Gradients& gradients) {
                      const Tensor dlogits = gradients.output(0);
                      run(logits.device(), SoftmaxCrossEntropyBackward{.dtype = logits.dtype(),
                                                                       .rows = rows,
                                                                       .classes = classes,
                                                                       .logits = logits.data(),
                                                                       .labels = labels.data<int32_t>(),
                                                                       .label_smoothing = label_smoothing,
                                                                       .log_sum_exp = log_sum_exp.data<float>(),
                                                                       .dloss = dloss.data<float>(),
                                                                       .dlogits = dlogits.data()});
                    });
  return out;
}

}  // namespace residua
