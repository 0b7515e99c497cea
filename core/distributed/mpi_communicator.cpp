#include "core/distributed/mpi_communicator.h"

#ifndef RESIDUA_WITH_MPI

namespace residua {

bool built_with_mpi() { return false; }

std::unique_ptr<Communicator> mpi_communicator(const Launch& launch, double) {
  fail_usage("{} started {} ranks, but this build has no MPI: install libopenmpi-dev and build again, or start one process",
             launch.launcher, launch.world);
}

}  // namespace residua

#else

#include <mpi.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>

#include "core/base/dtype.h"
#include "core/base/join.h"
#include "core/device/timeline.h"

namespace residua {
namespace {

using Clock = std::chrono::steady_clock;

/// How often a waiting thread looks whether MPI has got on. MPI has no call that waits with a limit.
constexpr std::chrono::microseconds kLook{50};
/// How often an idle thread looks for the questions of others.
constexpr std::chrono::milliseconds kIdleLook{100};
/// How long a rank may take to say that it is there.
constexpr std::chrono::seconds kAnswer{5};
constexpr int kQuestion = 1, kAnswered = 2;  // message tags
/// The most elements of one MPI call, whose counts are int.
constexpr int64_t kMostElements = int64_t{1} << 30;

void check(int code, const char* call) {
  if (code != MPI_SUCCESS) {
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(code, text.data(), &length);
    throw RankFailure(fmt::format("{} failed: {}", call, text.data()));
  }
}

#define RESIDUA_MPI(call, ...) check(call(__VA_ARGS__), #call)

/// b = a + b for one of the 16-bit types, which MPI does not know.
template <class T>
void add_16_bit(void* a, void* b, int* count, MPI_Datatype*) {
  const T* x = static_cast<const T*>(a);
  T* y = static_cast<T*>(b);
  for (int i = 0; i < *count; ++i) {
    y[i] = from_float<T>(to_float(x[i]) + to_float(y[i]));
  }
}

/// How MPI knows the element types.
struct Sums {
  MPI_Datatype half_type = MPI_DATATYPE_NULL;
  MPI_Op add_bf16 = MPI_OP_NULL, add_f16 = MPI_OP_NULL;

  MPI_Datatype type(DType dtype) const {
    switch (dtype) {
      case DType::f32: return MPI_FLOAT;
      case DType::i32: return MPI_INT32_T;
      case DType::i64: return MPI_INT64_T;
      case DType::u8: return MPI_UINT8_T;
      default: return half_type;
    }
  }
  MPI_Op add(DType dtype) const { return dtype == DType::bf16 ? add_bf16 : dtype == DType::f16 ? add_f16 : MPI_SUM; }
};

/// MPI, used from one thread.
class MpiThread {
 public:
  MpiThread(const Launch& launch, double limit) : launch_(launch), limit_(limit), thread_([this] { work(); }) {}
  ~MpiThread() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  /// Queues `call`, which gets this object on the thread.
  std::future<void> queue(std::string what, std::function<void(MpiThread&)> call, const std::string& about = "") {
    Call queued{.what = std::move(what), .run = std::packaged_task<void()>([this, about, call = std::move(call)] {
                                           const profile::Span span(what_, about);
                                           call(*this);
                                         })};
    std::future<void> done = queued.run.get_future();
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(std::move(queued));
    }
    changed_.notify_one();
    return done;
  }

  const Sums& sums() const { return sums_; }

  /// Waits until a request has ended. Throws RankFailure if that takes longer than the limit.
  void finish(MPI_Request request) {
    const Clock::time_point start = Clock::now();
    for (int done = 0; true;) {
      RESIDUA_MPI(MPI_Test, &request, &done, MPI_STATUS_IGNORE);
      if (done != 0) {
        return;
      }
      answer_questions();
      if (limit_ > 0 && Clock::now() - start > std::chrono::duration<double>(limit_)) {
        fail_stuck();
      }
      std::this_thread::sleep_for(kLook);
    }
  }

 private:
  struct Call {
    std::string what;
    std::packaged_task<void()> run;
  };

  void begin() {
    int provided = 0;
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
    RESIDUA_MPI(MPI_Comm_dup, MPI_COMM_WORLD, &talk_);
    RESIDUA_MPI(MPI_Type_contiguous, 2, MPI_BYTE, &sums_.half_type);
    RESIDUA_MPI(MPI_Type_commit, &sums_.half_type);
    RESIDUA_MPI(MPI_Op_create, add_16_bit<bf16>, 1, &sums_.add_bf16);
    RESIDUA_MPI(MPI_Op_create, add_16_bit<f16>, 1, &sums_.add_f16);
  }

  void work() {
    // Signals are for the thread that trains.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::unique_lock lock(mutex_);
    while (true) {
      // Only this thread may look for questions, so it does not sleep until a call comes.
      changed_.wait_for(lock, kIdleLook, [this] { return !calls_.empty() || ends_; });
      if (!calls_.empty()) {
        Call call = std::move(calls_.front());
        calls_.pop_front();
        what_ = call.what;
        ++number_;
        lock.unlock();
        call.run();
        lock.lock();
      } else if (ends_) {
        break;
      } else if (talk_ != MPI_COMM_NULL) {
        lock.unlock();
        answer_questions();
        lock.lock();
      }
    }
    int begun = 0;
    MPI_Initialized(&begun);
    if (begun != 0) {
      MPI_Finalize();
    }
  }

  /// Tells ranks that ask which call this rank has come to.
  void answer_questions() {
    if (failed_) {
      return;
    }
    for (int found = 1; found != 0;) {
      MPI_Status status;
      RESIDUA_MPI(MPI_Iprobe, MPI_ANY_SOURCE, kQuestion, talk_, &found, &status);
      if (found != 0) {
        int nothing = 0;
        RESIDUA_MPI(MPI_Recv, &nothing, 0, MPI_INT, status.MPI_SOURCE, kQuestion, talk_, MPI_STATUS_IGNORE);
        MPI_Request sent;
        answers_.push_back(number_);
        RESIDUA_MPI(MPI_Isend, &answers_.back(), 1, MPI_INT64_T, status.MPI_SOURCE, kAnswered, talk_, &sent);
        RESIDUA_MPI(MPI_Request_free, &sent);
      }
    }
  }

  /// Asks all ranks where they are, and throws RankFailure, which names those that keep the others waiting.
  [[noreturn]] void fail_stuck() {
    const auto world = static_cast<size_t>(launch_.world);
    std::vector<int64_t> number(world, -1);
    number[static_cast<size_t>(launch_.rank)] = number_;
    for (size_t rank = 0; rank < world; ++rank) {
      if (static_cast<int64_t>(rank) != launch_.rank) {
        MPI_Request sent;
        RESIDUA_MPI(MPI_Isend, nullptr, 0, MPI_INT, static_cast<int>(rank), kQuestion, talk_, &sent);
        RESIDUA_MPI(MPI_Request_free, &sent);
      }
    }
    for (const Clock::time_point start = Clock::now(); Clock::now() - start < kAnswer;) {
      answer_questions();
      int found = 0;
      MPI_Status status;
      RESIDUA_MPI(MPI_Iprobe, MPI_ANY_SOURCE, kAnswered, talk_, &found, &status);
      if (found != 0) {
        RESIDUA_MPI(MPI_Recv, &number[static_cast<size_t>(status.MPI_SOURCE)], 1, MPI_INT64_T, status.MPI_SOURCE, kAnswered,
                    talk_, MPI_STATUS_IGNORE);
      } else {
        std::this_thread::sleep_for(kLook);
      }
    }
    failed_ = true;
    std::vector<std::string> culprits;
    for (size_t rank = 0; rank < world; ++rank) {
      if (number[rank] < number_) {
        culprits.push_back(fmt::format("{} {}", names_.empty() ? fmt::format("rank {}", rank) : names_[rank],
                                       number[rank] < 0 ? "does not answer" : "answers, but has not come so far"));
      }
    }
    throw RankFailure(
        fmt::format("{} has taken longer than {:g} s: {}", what_, limit_,
                    culprits.empty() ? "all ranks have come to it, so the network may be down" : join(culprits, "; ")));
  }

 public:
  void start() { begin(); }
  /// How errors call the ranks.
  void set_names(const std::vector<std::string>& names) { names_ = names; }

 private:
  const Launch launch_;
  const double limit_;
  Sums sums_;
  MPI_Comm talk_ = MPI_COMM_NULL;  // for questions and answers
  std::vector<std::string> names_;
  std::string what_;             // the call that runs
  int64_t number_ = 0;           // of the call, the same on all ranks
  std::deque<int64_t> answers_;  // sent; their memory must stay
  bool failed_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Call> calls_;
  bool ends_ = false;
  std::thread thread_;  // last, so that it ends before what it uses
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(const Launch& launch, double limit) : Communicator(launch.rank, launch.world), mpi_(launch, limit) {
    mpi_.queue("starting MPI", [](MpiThread& mpi) { mpi.start(); }).get();
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    names_ = gather(fmt::format("rank {} of {} on {}, process {},", launch.rank, launch.world, host.data(), ::getpid()));
    mpi_.queue("starting MPI", [this](MpiThread& mpi) { mpi.set_names(names_); }).get();
  }

  std::string describe(int64_t rank) const override {
    const std::string& name = names_.at(static_cast<size_t>(rank));
    return name.substr(0, name.size() - 1);
  }

  std::vector<std::string> gather(const std::string& value) override {
    const auto ranks = static_cast<size_t>(world());
    std::vector<int> lengths(ranks);
    std::string all;
    std::vector<int> starts(ranks);
    const auto exchange = [&](MpiThread& mpi) {
      const auto own = static_cast<int>(value.size());
      MPI_Request request;
      RESIDUA_MPI(MPI_Iallgather, &own, 1, MPI_INT, lengths.data(), 1, MPI_INT, MPI_COMM_WORLD, &request);
      mpi.finish(request);
      size_t total = 0;
      for (size_t rank = 0; rank < ranks; ++rank) {
        starts[rank] = static_cast<int>(total);
        total += static_cast<size_t>(lengths[rank]);
      }
      all.resize(total);
      RESIDUA_MPI(MPI_Iallgatherv, value.data(), own, MPI_CHAR, all.data(), lengths.data(), starts.data(), MPI_CHAR,
                  MPI_COMM_WORLD, &request);
      mpi.finish(request);
    };
    mpi_.queue("an exchange of values", exchange).get();
    std::vector<std::string> values;
    for (size_t rank = 0; rank < ranks; ++rank) {
      values.push_back(all.substr(static_cast<size_t>(starts[rank]), static_cast<size_t>(lengths[rank])));
    }
    return values;
  }

  void sum(const Tensor& x) override {
    start("a sum over the ranks", x, [](MpiThread& mpi, std::byte* data, int count, DType dtype, MPI_Request* request) {
      RESIDUA_MPI(MPI_Iallreduce, MPI_IN_PLACE, data, count, mpi.sums().type(dtype), mpi.sums().add(dtype), MPI_COMM_WORLD,
                  request);
    });
  }

  void broadcast(const Tensor& x) override {
    start("a broadcast", x, [](MpiThread& mpi, std::byte* data, int count, DType dtype, MPI_Request* request) {
      RESIDUA_MPI(MPI_Ibcast, data, count, mpi.sums().type(dtype), 0, MPI_COMM_WORLD, request);
    });
  }

  void gather_rows(const Tensor& x) override {
    if (x.shape().rank() == 0 || x.dim(0) != world()) {
      fail("gather_rows: x is {}, wanted a row for each of {} ranks", x.shape().string(), world());
    }
    check_cpu(x);
    pending_.push_back(mpi_.queue("an exchange of rows", [x, ranks = world()](MpiThread& mpi) {
      MPI_Request request;
      RESIDUA_MPI(MPI_Iallgather, MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x.data(), static_cast<int>(x.size() / ranks),
                  mpi.sums().type(x.dtype()), MPI_COMM_WORLD, &request);
      mpi.finish(request);
    }));
  }

  void finish() override {
    for (std::future<void>& call : pending_) {
      call.wait();
    }
    std::vector<std::future<void> > ended = std::move(pending_);
    pending_.clear();
    for (std::future<void>& call : ended) {
      call.get();
    }
  }

  void abort(int code) override {
    // If the thread does not come to it, the launcher still sees that this process ends without MPI_Finalize.
    mpi_.queue("ending all ranks", [code](MpiThread&) { MPI_Abort(MPI_COMM_WORLD, code); }).wait_for(kAnswer);
    std::_Exit(code);
  }

 private:
  static void check_cpu(const Tensor& x) {
    if (x.device().type != Device::Type::cpu) {
      fail("MPI exchanges tensors of the CPU device, got one on {}", x.device().string());
    }
  }

  /// Queues a call for each part of x that one MPI call can take.
  template <class Begin>
  void start(const char* what, const Tensor& x, const Begin& begin) {
    check_cpu(x);
    pending_.push_back(mpi_.queue(
        what,
        [x, begin](MpiThread& mpi) {
          auto* data = static_cast<std::byte*>(x.data());
          for (int64_t first = 0; first < x.size(); first += kMostElements) {
            const int64_t count = std::min(kMostElements, x.size() - first);
            MPI_Request request;
            begin(mpi, data + first * size_bytes(x.dtype()), static_cast<int>(count), x.dtype(), &request);
            mpi.finish(request);
          }
        },
        fmt::format("{} bytes", x.bytes())));
  }

  MpiThread mpi_;
  std::vector<std::string> names_;  // with a comma at their end
  std::vector<std::future<void> > pending_;
};

}  // namespace

bool built_with_mpi() { return true; }

std::unique_ptr<Communicator> mpi_communicator(const Launch& launch, double limit) {
  return std::make_unique<MpiCommunicator>(launch, limit);
}

}  // namespace residua

#endif
