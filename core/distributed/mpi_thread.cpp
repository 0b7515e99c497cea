#ifdef RESIDUA_WITH_MPI

#include "core/distributed/mpi_thread.h"

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/base/join.h"
#include "core/base/warning.h"
#include "core/device/timeline.h"
#include "core/distributed/communicator.h"

namespace residua {
namespace {

using Clock = std::chrono::steady_clock;

/// How often a waiting thread looks whether MPI has got on. MPI has no call that waits with a limit.
constexpr std::chrono::microseconds kShortestLook{50}, kLongestLook{1000};
/// How often an idle thread looks for the questions of others.
constexpr std::chrono::milliseconds kIdleLook{100};
/// How long a rank may take to say that it is there.
constexpr std::chrono::seconds kAnswer{3};
constexpr int kQuestion = 1, kAnswered = 2;  // message tags

/// How long to sleep after having waited for `waited`. Each look takes time from a core that may be computing; a late look
/// makes the wait longer, here by at most a sixteenth.
Clock::duration until_next_look(Clock::duration waited) {
  return std::clamp<Clock::duration>(waited / 16, kShortestLook, kLongestLook);
}

/// Makes Open MPI sum by Rabenseifner's algorithm: each rank sends 2 (n - 1) / n times an array's bytes. Of its own accord it
/// sums everything on one rank and sends the result back, which takes two ranks twice as long. A user's choice stays. Other
/// MPIs do not know the variable.
void choose_algorithm() { ::setenv("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "3", 0); }

/// Waits for the end of a call; 0: without a limit. Returns false if it does not come.
bool ends_within(const std::future<void>& call, double limit) {
  constexpr double kLongest = 1e9;  // more than a clock can add
  if (limit <= 0 || limit > kLongest) {
    call.wait();
    return true;
  }
  return call.wait_for(std::chrono::duration<double>(limit)) == std::future_status::ready;
}

/// Ends this process while a thread of it waits inside MPI. The launcher then ends the other ranks.
[[noreturn]] void exit_without_mpi(const std::string& why) {
  warn("{}", why);
  std::fflush(nullptr);
  std::_Exit(1);
}

}  // namespace

MpiThread::MpiThread(const Launch& launch, double limit) : launch_(launch), limit_(limit), thread_([this] { work(); }) {}

std::unique_ptr<MpiThread> MpiThread::start(const Launch& launch, double limit) {
  choose_algorithm();
  std::unique_ptr<MpiThread> mpi(new MpiThread(launch, limit));
  std::future<void> begun = mpi->queue("the start of MPI", [](MpiThread& self) { self.begin(); });
  if (!ends_within(begun, limit)) {
    const MpiThread* stuck = mpi.release();  // its thread is inside MPI and cannot be ended
    throw RankFailure(fmt::format(
        "{} has taken longer than {:g} s: not all of {} ranks have come to it; see whether each runs this program and can "
        "reach the others",
        stuck->starting_.load(), limit, launch.world));
  }
  begun.get();
  return mpi;
}

MpiThread::~MpiThread() {
  if (!failed_) {
    try {
      queue("the end of the run", [](MpiThread& self) {
        MPI_Request request;
        RESIDUA_MPI(MPI_Ibarrier, self.talk_, &request);  // others may still exchange values
        self.finish(request);
      }).get();
    } catch (const Error& error) {
      exit_without_mpi(error.what());
    }
  }
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_one();
  if (!ends_within(ended_.get_future(), limit_)) {
    exit_without_mpi(fmt::format("MPI_Finalize has taken longer than {:g} s", limit_));
  }
  thread_.join();
}

std::future<void> MpiThread::add(std::string what, std::string about, Call call) {
  const bool needs_others = !what.empty();
  Queued queued{.what = what,
                .run = std::packaged_task<void()>([this, needs_others, what, about = std::move(about), call = std::move(call)] {
                  const profile::Span span(what, about);
                  if (failed_ && needs_others) {
                    throw RankFailure("the ranks are no longer connected, because a call has failed before");
                  }
                  try {
                    call(*this);
                  } catch (...) {
                    failed_ = true;
                    throw;
                  }
                })};
  std::future<void> done = queued.run.get_future();
  {
    const std::lock_guard lock(mutex_);
    calls_.push_back(std::move(queued));
  }
  changed_.notify_one();
  return done;
}

std::future<void> MpiThread::queue(std::string what, Call call, std::string about) {
  return add(std::move(what), std::move(about), std::move(call));
}
std::future<void> MpiThread::queue_alone(Call call) { return add("", "", std::move(call)); }

void MpiThread::finish(MPI_Request request) {
  const Clock::time_point start = Clock::now();
  for (int done = 0; true;) {
    RESIDUA_MPI(MPI_Test, &request, &done, MPI_STATUS_IGNORE);
    if (done != 0) {
      return;
    }
    answer_questions();
    const Clock::duration waited = Clock::now() - start;
    if (limit_ > 0 && waited > std::chrono::duration<double>(limit_)) {
      const std::string culprits = who_is_behind();
      throw RankFailure(fmt::format("{} has taken longer than {:g} s: {}", what_, limit_,
                                    culprits.empty() ? "all ranks have come to it, so the network may be down" : culprits));
    }
    std::this_thread::sleep_for(until_next_look(waited));
  }
}

void MpiThread::begin() {
  int provided = 0;
  starting_ = "MPI_Init_thread";
  RESIDUA_MPI(MPI_Init_thread, nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  RESIDUA_MPI(MPI_Comm_set_errhandler, MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  int rank = 0, world = 0;
  RESIDUA_MPI(MPI_Comm_rank, MPI_COMM_WORLD, &rank);
  RESIDUA_MPI(MPI_Comm_size, MPI_COMM_WORLD, &world);
  if (rank != launch_.rank || world != launch_.world) {
    throw RankFailure(
        fmt::format("MPI says rank {} of {}, {} says rank {} of {}: is the program started with the mpirun of another MPI?",
                    rank, world, launch_.launcher, launch_.rank, launch_.world));
  }
  starting_ = "MPI_Comm_dup";
  RESIDUA_MPI(MPI_Comm_dup, MPI_COMM_WORLD, &talk_);
  sums_.define();
}

void MpiThread::work() {
  // Signals are for the thread that trains.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::unique_lock lock(mutex_);
  while (true) {
    // Only this thread may look for questions, so it does not sleep until a call comes.
    changed_.wait_for(lock, kIdleLook, [this] { return !calls_.empty() || ends_; });
    if (!calls_.empty()) {
      Queued call = std::move(calls_.front());
      calls_.pop_front();
      lock.unlock();
      run(std::move(call));
      lock.lock();
    } else if (ends_) {
      break;
    } else if (talk_ != MPI_COMM_NULL) {
      lock.unlock();
      try {
        answer_questions();
      } catch (const RankFailure&) {  // the next call fails too, and says so
        failed_ = true;
      }
      lock.lock();
    }
  }
  int begun = 0;
  MPI_Initialized(&begun);
  // Without this call, the launcher ends all ranks.
  if (begun != 0 && !failed_) {
    MPI_Finalize();
  }
  ended_.set_value();
}

void MpiThread::run(Queued call) {
  if (!call.what.empty()) {
    what_ = call.what;
    ++number_;
  }
  call.run();
  if (failed_) {
    failures_.push_back(std::move(call));
  }
}

void MpiThread::answer_questions() {
  for (int found = failed_ ? 0 : 1; found != 0;) {
    MPI_Status status;
    RESIDUA_MPI(MPI_Iprobe, MPI_ANY_SOURCE, kQuestion, talk_, &found, &status);
    if (found != 0) {
      RESIDUA_MPI(MPI_Recv, nullptr, 0, MPI_INT64_T, status.MPI_SOURCE, kQuestion, talk_, MPI_STATUS_IGNORE);
      answers_.push_back({.number = number_, .progress = progress});
      MPI_Request sent;
      RESIDUA_MPI(MPI_Isend, &answers_.back(), 2, MPI_INT64_T, status.MPI_SOURCE, kAnswered, talk_, &sent);
      RESIDUA_MPI(MPI_Request_free, &sent);
    }
  }
}

std::vector<MpiThread::Answer> MpiThread::ask_all() {
  std::vector<Answer> answers(static_cast<size_t>(launch_.world));
  answers[static_cast<size_t>(launch_.rank)] = {.number = number_, .progress = progress};
  for (int rank = 0; rank < launch_.world; ++rank) {
    if (rank != launch_.rank) {
      MPI_Request sent;
      RESIDUA_MPI(MPI_Isend, nullptr, 0, MPI_INT64_T, rank, kQuestion, talk_, &sent);
      RESIDUA_MPI(MPI_Request_free, &sent);
    }
  }
  int64_t missing = launch_.world - 1;
  for (const Clock::time_point start = Clock::now(); missing > 0 && Clock::now() - start < kAnswer;) {
    answer_questions();
    int found = 0;
    MPI_Status status;
    RESIDUA_MPI(MPI_Iprobe, MPI_ANY_SOURCE, kAnswered, talk_, &found, &status);
    if (found != 0) {
      RESIDUA_MPI(MPI_Recv, &answers[static_cast<size_t>(status.MPI_SOURCE)], 2, MPI_INT64_T, status.MPI_SOURCE, kAnswered,
                  talk_, MPI_STATUS_IGNORE);
      --missing;
    } else {
      std::this_thread::sleep_for(kShortestLook);
    }
  }
  return answers;
}

std::string MpiThread::who_is_behind() {
  const std::vector<Answer> answers = ask_all();
  std::vector<std::string> culprits;
  for (size_t rank = 0; rank < answers.size(); ++rank) {
    if (answers[rank].number < number_ || answers[rank].progress < progress) {
      culprits.push_back(fmt::format("{} {}", names_.empty() ? fmt::format("rank {} of {}", rank, launch_.world) : names_[rank],
                                     answers[rank].number < 0 ? "does not answer" : "answers, but has not come so far"));
    }
  }
  return join(culprits, "; ");
}

}  // namespace residua

#endif
