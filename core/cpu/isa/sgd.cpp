#include "core/kernels/sgd.h"

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

template <class G, class Copy>
void update(const SgdUpdate& args) {
  const G* gradient = static_cast<const G*>(args.gradient);
  float* weight = args.weight;
  float* velocity = args.velocity;
  Copy* copy = static_cast<Copy*>(args.copy);
  const float learning_rate = args.state->learning_rate;
  const float loss_scale = args.state->loss_scale;
  const float momentum = args.momentum;
  const float weight_decay = args.weight_decay;
  parallel_ranges(args.size, 4096, [=](int, int64_t begin, int64_t end) {
    for_blocks<2>(end - begin, [=](int64_t offset, auto extent) {
      for (int k = 0; k < extent.kVectors; ++k) {
        const int64_t i = begin + offset + k * kLanes;
        const Floats w = load(weight + i, extent);
        const Floats g = load(gradient + i, extent) / loss_scale + weight_decay * w;
        const Floats v = momentum * load(velocity + i, extent) + g;
        const Floats updated = w - learning_rate * v;
        store(velocity + i, v, extent);
        store(weight + i, updated, extent);
        if (copy != nullptr) {
          store(copy + i, updated, extent);
        }
      }
    });
  });
}

}  // namespace

void run(const SgdUpdate& args, Stream&) {
  if (args.state->found_inf != 0) {
    return;
  }
  visit_float(args.gradient_dtype,
              [&]<class G>() { args.copy_dtype == DType::f16 ? update<G, f16>(args) : update<G, bf16>(args); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::SgdUpdate)
