#include "core/kernels/softmax_cross_entropy.h"

#include <cmath>

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

constexpr float kInfinity = __builtin_inff();
constexpr int64_t kGrain = 8;  // rows
constexpr int64_t kBehindAll = int64_t{1} << 62;

int64_t counted_rows(const int32_t* labels, int64_t rows) {
  int64_t count = 0;
  for (int64_t r = 0; r < rows; ++r) {
    count += labels[r] >= 0;
  }
  return count;
}

template <class T>
float largest(const T* z, int64_t classes) {
  Floats most = broadcast(-kInfinity);
  for_blocks<1>(classes, [&](int64_t c, auto extent) {
    const Floats v = within(extent, load(z + c, extent), broadcast(-kInfinity));
    most = select(v > most, v, most);
  });
  float result = -kInfinity;
  for (int64_t i = 0; i < kLanes; ++i) {
    result = most[i] > result ? most[i] : result;
  }
  return result;
}

/// The number of classes that rank before `label` by logit; kBehindAll if a logit is NaN.
template <class T>
int64_t rank(const T* z, int64_t classes, int64_t label) {
  const float own = to_float(z[label]);
  Ints above{};
  Ints unordered{};
  for_blocks<1>(classes, [&](int64_t c, auto extent) {
    const Floats v = within(extent, load(z + c, extent), broadcast(-kInfinity));
    // A true lane is -1. Lanes past the end never count: their class number is above the label, and -infinity is not above any
    // logit.
    const Ints earlier = lane_numbers() + static_cast<int32_t>(c) < static_cast<int32_t>(label);
    above -= (v > own) | ((v == own) & earlier);
    unordered |= v != v;
  });
  int64_t count = 0;
  for (int64_t i = 0; i < kLanes; ++i) {
    if (unordered[i] != 0) {
      return kBehindAll;
    }
    count += above[i];
  }
  return count;
}

template <class T>
void forward(const SoftmaxCrossEntropyForward& args) {
  const int64_t classes = args.classes;
  const double smoothing = static_cast<double>(args.label_smoothing);
  *args.top1_errors = 0;
  *args.top5_errors = 0;
  parallel_ranges(args.rows, kGrain, [&args, classes, smoothing](int, int64_t begin, int64_t end) {
    int32_t top1 = 0;
    int32_t top5 = 0;
    for (int64_t r = begin; r < end; ++r) {
      const T* z = static_cast<const T*>(args.logits) + r * classes;
      const float most = largest(z, classes);
      Floats exponentials{};
      Floats differences{};
      for_blocks<1>(classes, [&](int64_t c, auto extent) {
        const Floats d = load(z + c, extent) - most;
        exponentials += within(extent, exp(d), Floats{});
        differences += within(extent, d, Floats{});
      });
      const double log_sum = std::log(static_cast<double>(sum(exponentials)));
      args.log_sum_exp[r] = static_cast<float>(static_cast<double>(most) + log_sum);
      const int32_t label = args.labels[r];
      if (label < 0) {
        args.loss[r] = 0;
        continue;
      }
      double loss = (1 - smoothing) * (log_sum - static_cast<double>(to_float(z[label]) - most));
      if (smoothing > 0) {
        loss += smoothing * (log_sum - static_cast<double>(sum(differences)) / static_cast<double>(classes));
      }
      args.loss[r] = static_cast<float>(loss);
      const int64_t place = rank(z, classes, label);
      top1 += place >= 1;
      top5 += place >= 5;
    }
    __atomic_fetch_add(args.top1_errors, top1, __ATOMIC_RELAXED);
    __atomic_fetch_add(args.top5_errors, top5, __ATOMIC_RELAXED);
  });
}

template <class T>
void backward(const SoftmaxCrossEntropyBackward& args) {
  const int64_t classes = args.classes;
  const int64_t counted = counted_rows(args.labels, args.rows);
  const float scale = counted == 0 ? 0 : *args.dloss / static_cast<float>(counted);
  const float uniform = args.label_smoothing / static_cast<float>(classes);
  parallel_ranges(args.rows, kGrain, [&args, classes, scale, uniform](int, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* z = static_cast<const T*>(args.logits) + r * classes;
      T* dz = static_cast<T*>(args.dlogits) + r * classes;
      const int32_t label = args.labels[r];
      if (label < 0) {
        for_blocks<1>(classes, [&](int64_t c, auto extent) { store(dz + c, Floats{}, extent); });
        continue;
      }
      const float own = to_float(z[label]);
      const float log_sum_exp = args.log_sum_exp[r];
      for_blocks<1>(classes, [&](int64_t c, auto extent) {
        store(dz + c, scale * (exp(load(z + c, extent) - log_sum_exp) - uniform), extent);
      });
      const float p = exp(broadcast(own - log_sum_exp))[0];
      dz[label] = from_float<T>(scale * ((p - uniform) - (1 - args.label_smoothing)));
    }
  });
}

}  // namespace

void run(const SoftmaxCrossEntropyForward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { forward<T>(args); });
}

void run(const SoftmaxCrossEntropyBackward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { backward<T>(args); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::SoftmaxCrossEntropyForward)
RESIDUA_CPU_KERNEL(residua::SoftmaxCrossEntropyBackward)
