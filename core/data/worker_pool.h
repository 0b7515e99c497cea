#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace residua {

/// Threads that run jobs in the order in which one caller submits them. Without threads the caller runs them while it waits.
class WorkerPool {
 public:
  /// Runs on worker 0 .. workers() - 1; two jobs never run on one worker at once.
  using Job = std::function<void(int64_t worker)>;

  /// Fails when the system has no more threads.
  explicit WorkerPool(int64_t threads);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  /// Drops the jobs that have not begun, and waits for the others.
  ~WorkerPool();

  /// Workers that jobs may run on: the threads, or the caller where there are none.
  int64_t workers() const { return threads_.empty() ? 1 : static_cast<int64_t>(threads_.size()); }

  void submit(std::vector<Job> jobs);
  /// Waits until `done`, which may change with the end of any job. Throws what a job has thrown, from then on until cancel():
  /// the jobs behind it do not run.
  void wait_until(const std::function<bool()>& done);
  /// Drops the jobs that have not begun, waits for the others, and forgets a failure.
  void cancel();

 private:
  bool job_waits() const { return failure_ == nullptr && !jobs_.empty(); }
  /// Runs the oldest job, for which `lock` is released.
  void run_job(std::unique_lock<std::mutex>& lock, int64_t worker);
  void work(int64_t worker);
  void stop();

  std::mutex mutex_;  // guards what follows
  std::condition_variable job_or_stop_;
  std::condition_variable progress_;
  std::deque<Job> jobs_;
  int64_t running_ = 0;
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace residua
