#include "cuda/libraries/library_device.h"

#include <cublasLt.h>
#include <cudnn.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>

#include "core/device/device_backend.h"
#include "cuda/libraries/library_errors.h"
#include "cuda/runtime/context.h"
#include "cuda/runtime/error.h"

namespace residua::cuda {

LibraryDevice::LibraryDevice(int device) : device_(device) {}

cudnnContext* LibraryDevice::cudnn() {
  if (cudnn_ == nullptr) {
    if (cudnnGetCudartVersion() / 1000 != CUDART_VERSION / 1000) {
      fail("the loaded cuDNN {} is for CUDA {}, wanted a cuDNN for CUDA {}: put its folder first in LD_LIBRARY_PATH",
           cudnnGetVersion(), cudnnGetCudartVersion() / 1000, CUDART_VERSION / 1000);
    }
    RESIDUA_CUDNN_CHECK(cudnnCreate(&cudnn_));
    RESIDUA_CUDNN_CHECK(cudnnSetStream(cudnn_, native(context(device_).compute())));
  }
  return cudnn_;
}

cublasLtContext* LibraryDevice::cublaslt() {
  if (cublaslt_ == nullptr) {
    RESIDUA_CUBLAS_CHECK(cublasLtCreate(&cublaslt_));
  }
  return cublaslt_;
}

PlanCache& LibraryDevice::cache() {
  if (cache_ == nullptr) {
    cache_ = std::make_unique<PlanCache>(
        PlanCache::default_path(),
        plan_cache_device(fmt::format("{}, cuDNN {}, cuBLASLt {}", context(device_).properties().name, cudnnGetVersion(),
                                      cublasLtGetVersion()),
                          plan_options_));
  }
  return *cache_;
}

void LibraryDevice::set_plan_options(const device_api::PlanOptions& options) {
  if (cache_ != nullptr && options != plan_options_) {
    fail("cuda:{} has already chosen plans under other options: set the options before its first convolution or matrix product",
         device_);
  }
  plan_options_ = options;
}

void LibraryDevice::save_plans() {
  if (cache_ != nullptr) {
    cache_->save();
  }
}

Clock LibraryDevice::clock() {
  if (timer_memory_ == nullptr) {
    const int64_t twice_the_cache = 2 * int64_t{context(device_).properties().l2CacheSize};
    timer_memory_ =
        std::make_unique<TimerMemory>(Device{Device::Type::cuda, device_}, std::max<int64_t>(twice_the_cache, 256 << 20));
    RESIDUA_CUDA_CHECK(cudaEventCreate(&start_));
    RESIDUA_CUDA_CHECK(cudaEventCreate(&stop_));
  }
  return [this](const std::function<void()>& work) {
    return timer_memory_->time([&](void* memory) {
      const cudaStream_t stream = native(context(device_).compute());
      if (memory != nullptr) {
        // This also takes long enough for the host to queue the work before the device gets there.
        RESIDUA_CUDA_CHECK(cudaMemsetAsync(memory, 0, static_cast<size_t>(timer_memory_->bytes()), stream));
      }
      RESIDUA_CUDA_CHECK(cudaEventRecord(start_, stream));
      try {
        work();
      } catch (const Error&) {
        static_cast<void>(cudaGetLastError());  // otherwise the next launch would report it
        throw;
      }
      RESIDUA_CUDA_CHECK(cudaEventRecord(stop_, stream));
      RESIDUA_CUDA_CHECK(cudaEventSynchronize(stop_));
      float milliseconds = 0;
      RESIDUA_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start_, stop_));
      return static_cast<double>(milliseconds);
    });
  };
}

void LibraryDevice::check_not_capturing(const std::string& key) const {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  RESIDUA_CUDA_CHECK(cudaStreamIsCapturing(native(context(device_).compute()), &status));
  if (status != cudaStreamCaptureStatusNone) {
    fail("{} has no plan yet, and plans cannot be tried during a graph capture: run the step once before capturing it", key);
  }
}

namespace {

std::map<int, LibraryDevice>& library_devices() {
  static auto* const devices = [] {
    std::atexit([] {
      for (auto& [index, device] : library_devices()) {
        device.save_plans();
      }
    });
    return new std::map<int, LibraryDevice>;
  }();
  return *devices;
}

}  // namespace

LibraryDevice& library_device(const Stream& stream) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  const int index = stream.device().index;
  context(index);
  return library_devices().try_emplace(index, index).first->second;
}

int64_t workspace_size(int64_t bytes) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(bytes))); }

void set_plan_options(int device, const device_api::PlanOptions& options) {
  library_device(context(device).compute()).set_plan_options(options);
}

void save_plans(int device) { library_device(context(device).compute()).save_plans(); }

std::vector<device_api::PlanChoice> plan_choices(int device) {
  std::vector<device_api::PlanChoice> all;
  for (const auto& [work, choice] : library_device(context(device).compute()).choices()) {
    all.push_back({work, choice.name, choice.milliseconds, choice.rejection_reason});
  }
  return all;
}

}  // namespace residua::cuda
