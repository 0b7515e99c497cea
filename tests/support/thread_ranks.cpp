#include "tests/support/thread_ranks.h"

#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

#include "core/device/device_api.h"

namespace residua::test {
namespace {

/// Where ranks meet. A rank holds the mutex except while it waits.
class Meeting {
 public:
  explicit Meeting(int64_t world) : calls_(static_cast<size_t>(world)), values_(calls_.size()) {}

  /// Waits until all ranks are here, then calls read(rank, value) for the value of each. All must name the same call.
  template <class Value, class Read>
  void exchange(std::unique_lock<std::mutex>& turn, int64_t rank, const std::string& call, const Value& value,
                const Read& read) {
    calls_[static_cast<size_t>(rank)] = call;
    values_[static_cast<size_t>(rank)] = &value;
    wait_for_all(turn);
    for (size_t r = 0; r < calls_.size(); ++r) {
      if (calls_[r] != call) {
        throw RankFailure(fmt::format("rank {} calls {}, but rank {} calls {}", rank, call, r, calls_[r]));
      }
      read(static_cast<int64_t>(r), *static_cast<const Value*>(values_[r]));
    }
    wait_for_all(turn);  // they have read this rank's value too
  }

  void rank_failed(std::exception_ptr error) {
    if (error_ == nullptr) {
      error_ = std::move(error);
    }
    changed_.notify_all();
  }
  void rank_ended() {
    ended_ = true;
    changed_.notify_all();
  }
  std::exception_ptr error() const { return error_; }
  std::mutex& mutex() { return mutex_; }

 private:
  void wait_for_all(std::unique_lock<std::mutex>& turn) {
    const int64_t meeting = meetings_;
    if (++here_ == calls_.size()) {
      here_ = 0;
      ++meetings_;
      changed_.notify_all();
    }
    changed_.wait(turn, [&] { return meetings_ != meeting || error_ != nullptr || ended_; });
    if (error_ != nullptr || meetings_ == meeting) {
      throw RankFailure("another rank has failed, or has ended without this call");
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  size_t here_ = 0;
  int64_t meetings_ = 0;
  std::vector<std::string> calls_;
  std::vector<const void*> values_;
  std::exception_ptr error_;
  bool ended_ = false;  // any rank
};

class ThreadRank final : public Communicator {
 public:
  ThreadRank(int64_t rank, int64_t world, Timing timing, Meeting& meeting, std::unique_lock<std::mutex>& turn)
      : Communicator(rank, world), timing_(timing), meeting_(meeting), turn_(turn) {}

  std::vector<std::string> gather(const std::string& value) override {
    std::vector<std::string> all;
    meeting_.exchange(turn_, rank(), "gather", value, [&](int64_t, const std::string& other) { all.push_back(other); });
    return all;
  }
  void sum(const Tensor& x) override { start({Kind::sum, x}); }
  void broadcast(const Tensor& x) override { start({Kind::broadcast, x}); }
  void gather_rows(const Tensor& x) override { start({Kind::gather_rows, x}); }
  void finish() override {
    for (const Call& call : pending_) {
      finish(call);
    }
    pending_.clear();
  }
  [[noreturn]] void abort(int code) override { std::_Exit(code); }

 private:
  enum class Kind : uint8_t { sum, broadcast, gather_rows };
  struct Call {
    Kind kind;
    Tensor x;
  };

  void start(Call call) { timing_ == Timing::early ? finish(call) : pending_.push_back(std::move(call)); }
  void finish(const Call& call) {
    if (call.x.dtype() == DType::i64) {
      finish_as(call, whole_numbers(call.x));
    } else {
      finish_as(call, call.x.to_vector());
    }
  }

  static std::vector<int64_t> whole_numbers(const Tensor& x) {
    std::vector<int64_t> values(static_cast<size_t>(x.size()));
    device_api::copy(Device{}, values.data(), x.device(), x.data(), x.bytes());
    return values;
  }

  template <class T>
  void finish_as(const Call& call, const std::vector<T>& own) {
    std::vector<T> result(own.size());
    const size_t row = own.size() / static_cast<size_t>(world());
    const auto read = [&](int64_t from, const std::vector<T>& other) {
      for (size_t i = 0; i < result.size(); ++i) {
        switch (call.kind) {
          case Kind::sum: result[i] = from == 0 ? other[i] : result[i] + other[i]; break;
          case Kind::broadcast: result[i] = from == 0 ? other[i] : result[i]; break;
          case Kind::gather_rows: result[i] = i / row == static_cast<size_t>(from) ? other[i] : result[i]; break;
        }
      }
    };
    const char* names[] = {"sum", "broadcast", "gather_rows"};
    meeting_.exchange(turn_, rank(), fmt::format("{} of {}", names[static_cast<int>(call.kind)], call.x.shape().string()), own,
                      read);
    if constexpr (std::is_same_v<T, float>) {
      call.x.copy_from(result);
    } else {
      device_api::copy(call.x.device(), call.x.data(), Device{}, result.data(), call.x.bytes());
    }
  }

  const Timing timing_;
  Meeting& meeting_;
  std::unique_lock<std::mutex>& turn_;
  std::vector<Call> pending_;
};

}  // namespace

void run_ranks(int64_t world, const std::function<void(Communicator& ranks)>& f, Timing timing) {
  Meeting meeting(world);
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      std::unique_lock turn(meeting.mutex());
      try {
        ThreadRank ranks(rank, world, timing, meeting, turn);
        f(ranks);
        meeting.rank_ended();
      } catch (...) {
        meeting.rank_failed(std::current_exception());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (meeting.error() != nullptr) {
    std::rethrow_exception(meeting.error());
  }
}

}  // namespace residua::test
