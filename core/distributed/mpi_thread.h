#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/distributed/launch.h"
#include "core/distributed/mpi_calls.h"

namespace residua {

/// MPI, used from a thread of its own, which also answers other ranks that ask how far this one has come.
class MpiThread {
 public:
  using Call = std::function<void(MpiThread&)>;
  /// Starts MPI. Throws RankFailure if that takes longer than the limit; a thread then waits on inside MPI, so the program
  /// should exit soon, by std::_Exit. Calls of queue() are for any thread, all others for the calls that it runs.
  static std::unique_ptr<MpiThread> start(const Launch& launch, double limit);
  /// Ends MPI, which waits for all ranks. If that takes longer than the limit, it warns, naming them, and exits with code 1.
  ~MpiThread();
  MpiThread(const MpiThread&) = delete;
  MpiThread& operator=(const MpiThread&) = delete;

  /// Queues a call that all ranks make. Errors call it `what`; a timeline says `about` beside it.
  std::future<void> queue(std::string what, Call call, std::string about = "");
  /// Queues a call that this rank makes alone.
  std::future<void> queue_alone(Call call);

  /// Waits until a request has ended. Throws RankFailure if that takes longer than the limit.
  void finish(MPI_Request request);
  const MpiSums& sums() const { return sums_; }
  /// How errors call the ranks.
  void set_names(const std::vector<std::string>& names) { names_ = names; }
  /// Names the ranks that do not answer, or have made fewer calls, or calls elsewhere; empty if there are none.
  std::string who_is_behind();

  /// Calls elsewhere; any thread may set them.
  std::atomic<int64_t> progress = 0;
  /// Whether a call has failed. From then on there are no more calls of MPI, not even the last one. Any thread may ask.
  bool failed() const { return failed_; }

 private:
  struct Queued {
    std::string what;  // empty: this rank makes it alone
    std::packaged_task<void()> run;
  };
  /// What a rank answers.
  struct Answer {
    int64_t number = -1, progress = 0;
  };

  MpiThread(const Launch& launch, double limit);
  std::future<void> add(std::string what, std::string about, Call call);
  void begin();
  void work();
  void run(Queued call);
  void answer_questions();
  std::vector<Answer> ask_all();

  const Launch launch_;
  const double limit_;
  MpiSums sums_;
  MPI_Comm talk_ = MPI_COMM_NULL;  // for questions and answers
  std::vector<std::string> names_;
  std::string what_;              // the call that runs
  int64_t number_ = 0;            // of the call, the same on all ranks
  std::deque<Answer> answers_;    // sent; their memory must stay
  std::vector<Queued> failures_;  // MPI may still use the memory of calls that failed
  std::atomic<bool> failed_ = false;
  std::atomic<const char*> starting_ = "";  // the call of MPI that starts it
  std::promise<void> ended_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Queued> calls_;
  bool ends_ = false;
  std::thread thread_;  // last, so that it ends before what it uses
};

}  // namespace residua
