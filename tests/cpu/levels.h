#pragma once

#include <string>
#include <vector>

#include "core/cpu/direct_convolution.h"
#include "core/cpu/isa.h"
#include "core/cpu/winograd.h"
#include "core/kernels/add.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/batch_norm_group_statistics.h"
#include "core/kernels/batch_norm_ranks.h"
#include "core/kernels/batch_norm_relu_max_pool.h"
#include "core/kernels/batch_norm_rstd.h"
#include "core/kernels/cast.h"
#include "core/kernels/check_finite.h"
#include "core/kernels/column_sum.h"
#include "core/kernels/fill.h"
#include "core/kernels/masked_mean.h"
#include "core/kernels/pooling.h"
#include "core/kernels/prepare_input.h"
#include "core/kernels/relu.h"
#include "core/kernels/scale.h"
#include "core/kernels/sgd.h"
#include "core/kernels/softmax_cross_entropy.h"
#include "core/kernels/zero_pad_shortcut.h"

/// Kernels of core/cpu/isa at an instruction set of the caller's choice, past the choice that isa() makes.
#ifdef RESIDUA_X86_64
#define RESIDUA_LEVELS(X) X(baseline) X(avx2) X(avx512) X(avx512bf16)
#else
#define RESIDUA_LEVELS(X) X(baseline)
#endif

#define RESIDUA_DECLARE_RUNS(level)                             \
  namespace residua::cpu::level {                               \
  void run(const Add&, Stream&);                                \
  void run(const BatchNormStatistics&, Stream&);                \
  void run(const BatchNormApply&, Stream&);                     \
  void run(const BatchNormBackwardReduce&, Stream&);            \
  void run(const BatchNormBackwardApply&, Stream&);             \
  void run(const BatchNormCommit&, Stream&);                    \
  void run(const BatchNormGroupMean&, Stream&);                 \
  void run(const BatchNormAddTotals&, Stream&);                 \
  void run(const BatchNormCombine&, Stream&);                   \
  void run(const BatchNormShareSums&, Stream&);                 \
  void run(const BatchNormReluMaxPoolForward&, Stream&);        \
  void run(const BatchNormReluMaxPoolBackwardReduce&, Stream&); \
  void run(const BatchNormReluMaxPoolBackwardApply&, Stream&);  \
  void run(const BatchNormRstd&, Stream&);                      \
  void run(const Cast&, Stream&);                               \
  void run(const CheckFinite&, Stream&);                        \
  void run(const ColumnSum&, Stream&);                          \
  void run(const MaskedMean&, Stream&);                         \
  void run(const Fill&, Stream&);                               \
  void run(const MaxPoolForward&, Stream&);                     \
  void run(const MaxPoolBackward&, Stream&);                    \
  void run(const AveragePoolForward&, Stream&);                 \
  void run(const AveragePoolBackward&, Stream&);                \
  void run(const GlobalAveragePoolForward&, Stream&);           \
  void run(const GlobalAveragePoolBackward&, Stream&);          \
  void run(const PrepareInput&, Stream&);                       \
  void run(const ReluForward&, Stream&);                        \
  void run(const ReluBackward&, Stream&);                       \
  void run(const Scale&, Stream&);                              \
  void run(const SgdUpdate&, Stream&);                          \
  void run(const SoftmaxCrossEntropyForward&, Stream&);         \
  void run(const SoftmaxCrossEntropyBackward&, Stream&);        \
  void run(const DirectForward&, Stream&);                      \
  void run(const DirectBackwardData&, Stream&);                 \
  void run(const DirectBackwardWeights&, Stream&);              \
  void run(const WinogradConvolution&, Stream&);                \
  void run(const WinogradWeights&, Stream&);                    \
  void run(const ZeroPadShortcutForward&, Stream&);             \
  void run(const ZeroPadShortcutBackward&, Stream&);            \
  }
RESIDUA_LEVELS(RESIDUA_DECLARE_RUNS)
#undef RESIDUA_DECLARE_RUNS

namespace residua::test {

inline std::string level_name(Isa level) {
#define RESIDUA_NAME(l)  \
  if (level == Isa::l) { \
    return #l;           \
  }
  RESIDUA_LEVELS(RESIDUA_NAME)
#undef RESIDUA_NAME
  return "unknown";
}

/// The levels that this processor can run, baseline first.
inline std::vector<Isa> levels() {
  std::vector<Isa> all;
#define RESIDUA_PUSH(l)    \
  if (Isa::l <= isa()) {   \
    all.push_back(Isa::l); \
  }
  RESIDUA_LEVELS(RESIDUA_PUSH)
#undef RESIDUA_PUSH
  return all;
}

template <class Args>
void run_at(Isa level, const Args& args) {
  cpu::Stream stream;
#define RESIDUA_RUN(l)         \
  if (level == Isa::l) {       \
    cpu::l::run(args, stream); \
  }
  RESIDUA_LEVELS(RESIDUA_RUN)
#undef RESIDUA_RUN
}

}  // namespace residua::test
