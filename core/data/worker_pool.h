#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
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

  /// Of the threads, `working` take jobs at first; all if it is not given. Fails with Error if the system cannot create them.
  explicit WorkerPool(int64_t threads, std::optional<int64_t> working = {});
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  /// Drops the jobs that have not started, and waits for the others.
  ~WorkerPool();

  /// Number of threads that may ever work, or 1 for the caller if there are none.
  int64_t most_workers() const { return threads_.empty() ? 1 : static_cast<int64_t>(threads_.size()); }
  /// Number of threads that take jobs, or 1 for the caller.
  int64_t workers() const { return threads_.empty() ? 1 : state_->working; }
  /// Changes it, to at least 1 and at most all threads. Only the caller of submit() may.
  void set_workers(int64_t working);

  /// As a number of seconds: no limit.
  static constexpr double kForever = std::numeric_limits<double>::infinity();

  void submit(std::vector<Job> jobs);
  /// Waits until `done` returns true; checks it after each job. Returns whether it does: false if no job has ended for
  /// `seconds` of waiting. Rethrows a job's exception, and does so on every call until cancel(); the jobs after it do not run.
  bool wait_until(const std::function<bool()>& done, double seconds = kForever);
  /// Drops the jobs that have not started, waits for the others, and clears a failure. Returns false if the others still run
  /// when none has ended for `seconds`.
  bool cancel(double seconds = kForever);
  /// Ends the pool. Of the threads, those for which `is_stuck` returns true are left behind: if their job ever returns, they
  /// end without a trace. The others are waited for.
  void abandon(const std::function<bool(int64_t worker)>& is_stuck);

 private:
  /// What the threads use. A thread that is left behind outlives the pool.
  struct State {
    std::mutex mutex;  // guards all members below
    std::condition_variable job_or_stop;
    std::condition_variable progress;
    std::deque<Job> jobs;
    int64_t running = 0;
    int64_t ended = 0;    // jobs
    int64_t working = 0;  // threads 0 .. working - 1 take jobs; only the caller writes it
    bool stopping = false;
    std::exception_ptr failure;

    bool job_waits() const { return failure == nullptr && !jobs.empty(); }
    /// Runs the oldest job; releases `lock` meanwhile.
    void run_job(std::unique_lock<std::mutex>& lock, int64_t worker);
    void work(int64_t worker);
    bool wait_for_progress(std::unique_lock<std::mutex>& lock, const std::function<bool()>& ready, double seconds);
  };

  void stop();

  const std::shared_ptr<State> state_ = std::make_shared<State>();
  std::vector<std::thread> threads_;
};

}  // namespace residua
