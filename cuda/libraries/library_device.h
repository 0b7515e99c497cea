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

/// What the vendor's libraries keep for one device: handles, and the plans in use. Made at first use, never destroyed.
/// As a device's stream, it is one thread's at a time.
class LibraryDevice {
 public:
  explicit LibraryDevice(int device);
  LibraryDevice(const LibraryDevice&) = delete;
  LibraryDevice& operator=(const LibraryDevice&) = delete;

  cudnnContext* cudnn();
  cublasLtContext* cublaslt();

  /// autotune() with this device's cache and clock. Fails while work is being captured: trying plans cannot be part of a graph.
  template <class Args>
  ChosenPlan<Args> choose_plan(const std::string& key, const std::vector<Candidate<Args>>& candidates, const Args& args,
                               Stream& stream) {
    check_not_capturing(key);
    ChosenPlan<Args> chosen = autotune<Args>(key, candidates, args, stream, cache(), clock());
    if (chosen.tuned) {
      choices_.emplace_back(key, chosen.choice);
    }
    return chosen;
  }

  /// Runs `args` by the plan of `key`; `candidates()` lists what it is chosen among.
  template <class Args, class Key, class Candidates>
  void run(PlanTable<Key, Args>& plans, const Key& key, const Args& args, Stream& stream, const Candidates& candidates) {
    plans.run(key, args, stream, [&] { return choose_plan<Args>(key.string(), candidates(), args, stream); });
  }

  /// What the plan cache knows of a key.
  std::optional<Choice> known(const std::string& key) { return cache().find(key); }

  const device_api::PlanOptions& plan_options() const { return plan_options_; }
  void set_plan_options(const device_api::PlanOptions& options);
  void save_plans();

  /// All choices by time so far, each with what it is for.
  const std::vector<std::pair<std::string, Choice>>& choices() const { return choices_; }

  PlanTable<ConvolutionKey, ConvolutionForward> forward;
  PlanTable<ConvolutionKey, ConvolutionBackwardData> backward_data;
  PlanTable<ConvolutionKey, ConvolutionBackwardWeights> backward_weights;
  PlanTable<MatmulKey, Matmul> matmul;
  std::map<ConvolutionKey, bool> activation_inside;  // by the key of the plain forward pass

 private:
  void check_not_capturing(const std::string& key) const;
  PlanCache& cache();
  /// Times work on the compute stream, starting with nothing useful in the L2 cache.
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

/// Workspaces come in powers of two, so that plans can share them.
int64_t workspace_size(int64_t bytes);

}  // namespace residua::cuda
