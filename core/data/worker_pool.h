#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace residua {

/// Threads that start jobs in the order in which one caller submits them. Without threads the caller runs the jobs while it
/// waits.
class WorkerPool {
 public:
  /// Runs on worker 0 .. workers() - 1, one job per worker at a time.
  using Job = std::function<void(int64_t worker)>;

  /// Of the threads, `working` take jobs at first; all if it is not given. Fails if the system cannot create them.
  explicit WorkerPool(int64_t threads, std::optional<int64_t> working = {});
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  /// Drops the jobs that have not started, and waits for the others.
  ~WorkerPool();

  /// Number of threads that may ever work, or 1 for the caller if there are none.
  int64_t most_workers() const { return threads_.empty() ? 1 : static_cast<int64_t>(threads_.size()); }
  /// Number of threads that take jobs, or 1 for the caller.
  int64_t workers() const { return threads_.empty() ? 1 : working_; }
  /// Changes it, to at least 1 and at most all threads. Only the caller of submit() may.
  void set_workers(int64_t working);

  void submit(std::vector<Job> jobs);
  /// Waits until `done` returns true; checks it after each job. Rethrows a job's exception, and does so on every call until
  /// cancel(); the jobs after it do not run.
  void wait_until(const std::function<bool()>& done);
  /// Drops the jobs that have not started, waits for the others, and clears a failure.
  void cancel();

 private:
  bool job_waits() const { return failure_ == nullptr && !jobs_.empty(); }
  /// Runs the oldest job; releases `lock` meanwhile.
  void run_job(std::unique_lock<std::mutex>& lock, int64_t worker);
  void work(int64_t worker);
  void stop();

  std::mutex mutex_;  // guards all members below
  std::condition_variable job_or_stop_;
  std::condition_variable progress_;
  std::deque<Job> jobs_;
  int64_t running_ = 0;
  int64_t working_;  // threads 0 .. working_ - 1 take jobs; only the caller writes it
  bool stopping_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace residua
