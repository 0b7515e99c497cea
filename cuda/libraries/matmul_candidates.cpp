#include "cuda/libraries/matmul_candidates.h"

#include "cuda/kernels/add_bias.h"

namespace residua::cuda {
namespace {

/// c is f32 here: a 16-bit result with a bias is converted from f32.
void run_composed(const Matmul& args, Stream& stream) {
  Matmul product = args;
  product.bias = nullptr;
  run(product, stream);
  run(AddBias{args.m, args.n, args.bias, static_cast<float*>(args.c)}, stream);
}

Candidate<Matmul> unavailable(const std::string& reason) {
  return {"cuBLASLt", [reason]() -> Plan<Matmul> { fail("{}", reason); }};
}

}  // namespace

std::vector<Candidate<Matmul>> matmul_candidates(const MatmulKey& key,
                                                 const std::function<std::shared_ptr<const MatmulAlgorithms>()>& make) {
  std::vector<Candidate<Matmul>> all;
  try {
    const std::shared_ptr<const MatmulAlgorithms> algorithms = make();
    for (size_t i = 0; i < algorithms->count(); ++i) {
      all.push_back({algorithms->name(i), [algorithms, i]() -> Plan<Matmul> {
                       algorithms->check_usable(i);
                       return [algorithms, i](const Matmul& args, Stream& stream) { algorithms->run(i, args, stream); };
                     }});
    }
    if (all.empty()) {
      all.push_back(unavailable("cuBLASLt has no algorithm for " + key.string()));
    }
  } catch (const DeviceFault&) {
    throw;
  } catch (const Error& error) {
    all.push_back(unavailable(error.what()));
  }
  if (key.biased && key.c_dtype == DType::f32) {
    all.push_back({"composed", []() -> Plan<Matmul> { return run_composed; }});
  }
  return all;
}

}  // namespace residua::cuda
