#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/kernels/convolution.h"
#include "core/kernels/matmul.h"
#include "cuda/libraries/cudnn_graph.h"
#include "cuda/libraries/matmul_key.h"
#include "cuda/libraries/plan_table.h"
#include "cuda/libraries/timer_memory.h"

struct cublasLtContext;

namespace residua::cuda {

/// The state of cuDNN and cuBLASLt for one device: handles, and the plans in use. Created at first use, never destroyed. Like
/// the device's stream, only one thread at a time may use it.
class LibraryDevice {
 public:
  explicit LibraryDevice(int device);
  LibraryDevice(const LibraryDevice&) = delete;
  LibraryDevice& operator=(const LibraryDevice&) = delete;

  cudnnContext* cudnn();
  cublasLtContext* cublaslt();

  /// autotune() or, if the options say so, choose_by_rule() with this device's cache and clock. Throws Error during a graph
  /// capture, because plans cannot be tried then.
  template <class Args>
  ChosenPlan<Args> choose_plan(const std::string& key, const std::vector<Candidate<Args>>& candidates, const Args& args,
                               Stream& stream) {
    check_not_capturing(key);
    ChosenPlan<Args> chosen = plan_options_.by_rule ? choose_by_rule<Args>(key, candidates, args, stream, cache())
                                                    : autotune<Args>(key, candidates, args, stream, cache(), clock());
    if (chosen.tuned) {
      choices_.emplace_back(key, chosen.choice);
    }
    return chosen;
  }

  /// Runs `args` with the plan for `key`. `candidates()` lists the plans to choose from.
  template <class Args, class Key, class Candidates>
  void run(PlanTable<Key, Args>& plans, const Key& key, const Args& args, Stream& stream, const Candidates& candidates) {
    plans.run(key, args, stream, [&] { return choose_plan<Args>(key.string(), candidates(), args, stream); });
  }

  /// The cached choice for a key, if there is one.
  std::optional<Choice> known(const std::string& key) { return cache().find(key); }

  const device_api::PlanOptions& plan_options() const { return plan_options_; }
  void set_plan_options(const device_api::PlanOptions& options);
  void save_plans();

  /// All choices made by timing or by rule so far, each with its key.
  const std::vector<std::pair<std::string, Choice>>& choices() const { return choices_; }

  PlanTable<ConvolutionKey, ConvolutionForward> forward;
  PlanTable<ConvolutionKey, ConvolutionBackwardData> backward_data;
  PlanTable<ConvolutionKey, ConvolutionBackwardWeights> backward_weights;
  PlanTable<MatmulKey, Matmul> matmul;
  std::map<ConvolutionKey, bool> activation_inside;  // by the key of the plain forward pass

 private:
  void check_not_capturing(const std::string& key) const;
  PlanCache& cache();
  /// Times work on the compute stream, each time with a cold L2 cache.
  Clock clock();

  int device_;
  cudnnContext* cudnn_ = nullptr;
  cublasLtContext* cublaslt_ = nullptr;
  cudaEvent_t start_ = nullptr;
  cudaEvent_t stop_ = nullptr;
  device_api::PlanOptions plan_options_;
  std::unique_ptr<TimerMemory> timer_memory_;
  std::unique_ptr<PlanCache> cache_;
  std::vector<std::pair<std::string, Choice>> choices_;
};

LibraryDevice& library_device(const Stream& stream);

/// Rounds a workspace size up to a power of two, so that plans can share blocks.
int64_t workspace_size(int64_t bytes);

}  // namespace residua::cuda
