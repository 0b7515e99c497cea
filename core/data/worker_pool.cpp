#include "core/data/worker_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/error.h"

namespace residua {

WorkerPool::WorkerPool(int64_t threads, std::optional<int64_t> working) : working_(working.value_or(threads)) {
  threads_.reserve(static_cast<size_t>(threads));
  try {
    for (int64_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this, i] { work(i); });
    }
  } catch (...) {
    stop();
    throw;
  }
}

WorkerPool::~WorkerPool() { stop(); }

void WorkerPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  job_or_stop_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void WorkerPool::submit(std::vector<Job> jobs) {
  {
    const std::lock_guard lock(mutex_);
    std::ranges::move(jobs, std::back_inserter(jobs_));
  }
  job_or_stop_.notify_all();
}

void WorkerPool::set_workers(int64_t working) {
  {
    const std::lock_guard lock(mutex_);
    working_ = std::clamp<int64_t>(working, 1, most_workers());
  }
  job_or_stop_.notify_all();
}

void WorkerPool::run_job(std::unique_lock<std::mutex>& lock, int64_t worker) {
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  ++running_;
  lock.unlock();
  std::exception_ptr failure;
  try {
    job(worker);
  } catch (...) {
    failure = std::current_exception();
  }
  job = nullptr;
  lock.lock();
  --running_;
  if (failure != nullptr && failure_ == nullptr) {
    failure_ = std::move(failure);  // moved, so that only the caller of wait_until() holds it
  }
  progress_.notify_all();
}

void WorkerPool::work(int64_t worker) {
  std::unique_lock lock(mutex_);
  for (;;) {
    job_or_stop_.wait(lock, [this, worker] { return stopping_ || (worker < working_ && job_waits()); });
    if (stopping_) {
      return;
    }
    run_job(lock, worker);
  }
}

void WorkerPool::wait_until(const std::function<bool()>& done) {
  std::unique_lock lock(mutex_);
  if (threads_.empty()) {
    while (job_waits() && !done()) {
      run_job(lock, 0);
    }
  } else {
    progress_.wait(lock, [&] { return failure_ != nullptr || done() || (jobs_.empty() && running_ == 0); });
  }
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
  if (!done()) {
    fail("worker pool: no jobs are left, and the awaited condition is still false");
  }
}

void WorkerPool::cancel() {
  std::unique_lock lock(mutex_);
  jobs_.clear();
  progress_.wait(lock, [this] { return running_ == 0; });
  failure_ = nullptr;
}

}  // namespace residua
