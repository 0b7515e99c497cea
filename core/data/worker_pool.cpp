#include "core/data/worker_pool.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace residua {

WorkerPool::WorkerPool(int64_t threads, std::optional<int64_t> working) {
  state_->working = working.value_or(threads);
  threads_.reserve(static_cast<size_t>(threads));
  try {
    for (int64_t i = 0; i < threads; ++i) {
      threads_.emplace_back([state = state_, i] { state->work(i); });
    }
  } catch (const std::system_error& error) {
    const size_t begun = threads_.size();
    stop();
    fail("cannot start worker thread {} of {}: {}; use fewer workers", begun + 1, threads, error.code().message());
  } catch (...) {  // no memory
    stop();
    throw;
  }
}

WorkerPool::~WorkerPool() {
  abandon([](int64_t) { return false; });
}

void WorkerPool::abandon(const std::function<bool(int64_t worker)>& is_stuck) {
  for (size_t i = 0; i < threads_.size(); ++i) {
    if (is_stuck(static_cast<int64_t>(i))) {
      threads_[i].detach();
    }
  }
  stop();
}

void WorkerPool::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->jobs.clear();
  }
  state_->job_or_stop.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) {
      thread.join();
    }
  }
  threads_.clear();
}

void WorkerPool::submit(std::vector<Job> jobs) {
  {
    const std::lock_guard lock(state_->mutex);
    std::ranges::move(jobs, std::back_inserter(state_->jobs));
  }
  state_->job_or_stop.notify_all();
}

void WorkerPool::set_workers(int64_t working) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->working = std::clamp<int64_t>(working, 1, most_workers());
  }
  state_->job_or_stop.notify_all();
}

void WorkerPool::State::run_job(std::unique_lock<std::mutex>& lock, int64_t worker) {
  Job job = std::move(jobs.front());
  jobs.pop_front();
  ++running;
  lock.unlock();
  std::exception_ptr thrown;
  try {
    job(worker);
  } catch (const std::exception&) {
    thrown = std::current_exception();
  } catch (...) {
    thrown = std::make_exception_ptr(Error("a worker thread ended with an exception of an unknown type"));
  }
  job = nullptr;
  lock.lock();
  --running;
  ++ended;
  if (thrown != nullptr && failure == nullptr) {
    failure = std::move(thrown);  // moved, so that only the caller of wait_until() holds it
  }
  progress.notify_all();
}

void WorkerPool::State::work(int64_t worker) {
  std::unique_lock lock(mutex);
  for (;;) {
    job_or_stop.wait(lock, [this, worker] { return stopping || (worker < working && job_waits()); });
    if (stopping) {
      return;
    }
    run_job(lock, worker);
  }
}

bool WorkerPool::State::wait_for_progress(std::unique_lock<std::mutex>& lock, const std::function<bool()>& ready,
                                          double seconds) {
  if (std::isinf(seconds)) {
    progress.wait(lock, ready);
    return true;
  }
  // In parts: if the whole process is stopped meanwhile, as batch systems do, only one part passes.
  constexpr int kParts = 8;
  const std::chrono::duration<double> part(seconds / kParts);
  int64_t seen = ended;
  for (int passed = 0; !ready() && passed < kParts;) {
    const bool late = progress.wait_for(lock, part) == std::cv_status::timeout;
    passed = seen != ended ? 0 : passed + (late ? 1 : 0);
    seen = ended;
  }
  return ready();
}

bool WorkerPool::wait_until(const std::function<bool()>& done, double seconds) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  bool in_time = true;
  if (threads_.empty()) {
    while (s.job_waits() && !done()) {
      s.run_job(lock, 0);
    }
  } else {
    in_time = s.wait_for_progress(
        lock, [&] { return s.failure != nullptr || done() || (s.jobs.empty() && s.running == 0); }, seconds);
  }
  if (s.failure != nullptr) {
    std::rethrow_exception(s.failure);
  }
  if (in_time && !done()) {
    fail("worker pool: no jobs are left, and the awaited condition is still false");
  }
  return in_time;
}

bool WorkerPool::cancel(double seconds) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  s.jobs.clear();
  if (!s.wait_for_progress(
          lock, [&s] { return s.running == 0; }, seconds)) {
    return false;
  }
  s.failure = nullptr;
  return true;
}

}  // namespace residua
