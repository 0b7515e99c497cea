#include "core/kernels/batch_norm_ranks.h"

#include "bench/kernels/kernel_case.h"

namespace residua::bench {
namespace {

constexpr int64_t kRanks = 8;
constexpr int64_t kChannels = 512;

std::vector<KernelCase> cases(int64_t) {
  std::vector<KernelCase> all;
  all.push_back({.kernel = "BatchNormCombine",
                 .shape = shape_name({kRanks, kChannels}),
                 .own =
                     [](Operands& o) {
                       return sequence(o, BatchNormCombine{.ranks = kRanks,
                                                           .channels = kChannels,
                                                           .rank = 0,
                                                           .parts = o.read<float>(kRanks * (2 * kChannels + 1), 1, 2),
                                                           .epsilon = 1e-5f,
                                                           .mean = o.written<float>(kChannels),
                                                           .variance = o.written<float>(kChannels),
                                                           .rstd = o.written<float>(kChannels),
                                                           .bessel_correction = o.written<float>(kChannels),
                                                           .share = o.written<float>(1)});
                     },
                 .dtypes = {DType::f32}});
  all.push_back({.kernel = "BatchNormShareSums",
                 .shape = shape_name({2, kChannels}),
                 .own =
                     [](Operands& o) {
                       return sequence(o, BatchNormShareSums{.size = 2 * kChannels,
                                                             .share = o.read<float>(1, 1, 1),
                                                             .sums = o.updated<float>(2 * kChannels)});
                     },
                 .dtypes = {DType::f32}});
  return all;
}

const RegisterKernelCases registered(cases);

}  // namespace
}  // namespace residua::bench
