#include "core/data/worker_pool.h"

#include <gtest/gtest.h>

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "tests/data/gate.h"

namespace residua::test {
namespace {

void submit(WorkerPool& pool, WorkerPool::Job job) { pool.submit({std::move(job)}); }

TEST(WorkerPool, RunsEveryJobOnceOnAWorkerOfItsOwn) {
  for (const int64_t threads : {0, 1, 4}) {
    WorkerPool pool(threads);
    ASSERT_EQ(pool.workers(), threads == 0 ? 1 : threads);
    ASSERT_EQ(pool.most_workers(), pool.workers());
    std::vector<int64_t> runs(100);                                       // each of one job
    std::vector<int64_t> of_worker(static_cast<size_t>(pool.workers()));  // without a lock: a worker runs one job at a time
    std::atomic<int64_t> left = 100;
    std::vector<WorkerPool::Job> jobs;
    for (size_t i = 0; i < 100; ++i) {
      jobs.emplace_back([&, i](int64_t worker) {
        ++runs[i];
        ++of_worker[static_cast<size_t>(worker)];
        --left;
      });
    }
    pool.submit({jobs.begin(), jobs.begin() + 30});
    pool.submit({jobs.begin() + 30, jobs.end()});
    pool.wait_until([&] { return left == 0; });
    EXPECT_EQ(runs, std::vector<int64_t>(100, 1));
    int64_t sum = 0;
    for (const int64_t count : of_worker) {
      sum += count;
    }
    EXPECT_EQ(sum, 100);
  }
}

TEST(WorkerPool, OneWorkerKeepsTheOrder) {
  for (const int64_t threads : {0, 1}) {
    WorkerPool pool(threads);
    std::vector<int> order;
    std::atomic<int> done = 0;
    for (int i = 0; i < 20; ++i) {
      submit(pool, [&, i](int64_t) {
        order.push_back(i);
        ++done;
      });
    }
    pool.wait_until([&] { return done == 20; });
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(order[static_cast<size_t>(i)], i);
    }
  }
}

TEST(WorkerPool, WithoutThreadsNothingRunsBeforeItIsWaitedFor) {
  WorkerPool pool(0);
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    submit(pool, [&](int64_t) { ++runs; });
  }
  EXPECT_EQ(runs, 0);
  pool.wait_until([&] { return runs == 2; });
  EXPECT_EQ(runs, 2);
  pool.cancel();
  EXPECT_THROW(pool.wait_until([&] { return runs == 3; }), Error) << "the third job was dropped";
}

TEST(WorkerPool, AsManyWorkAsItIsTold) {
  WorkerPool pool(4, 1);
  EXPECT_EQ(pool.workers(), 1);
  EXPECT_EQ(pool.most_workers(), 4);
  std::atomic<int> left = 50;
  for (int i = 0; i < 50; ++i) {
    submit(pool, [&](int64_t worker) {
      EXPECT_EQ(worker, 0);
      --left;
    });
  }
  pool.wait_until([&] { return left == 0; });
  pool.set_workers(9);
  EXPECT_EQ(pool.workers(), 4) << "no more than there are";
  std::atomic<int> together = 0;
  for (int i = 0; i < 4; ++i) {
    submit(pool, [&](int64_t) {
      ++together;
      together.notify_all();
      for (int now = together; now < 4; now = together) {
        together.wait(now);
      }
    });
  }
  pool.wait_until([&] { return together == 4; });
  pool.set_workers(0);
  EXPECT_EQ(pool.workers(), 1);
}

TEST(WorkerPool, AFailureStopsWhatComesBehindUntilCancel) {
  for (const int64_t threads : {0, 1, 4}) {
    WorkerPool pool(threads);
    std::atomic<int> after = 0;
    submit(pool, [](int64_t) { throw std::runtime_error("disk on fire"); });
    EXPECT_THROW(pool.wait_until([] { return false; }), std::runtime_error);
    submit(pool, [&](int64_t) { ++after; });
    EXPECT_THROW(pool.wait_until([&] { return after == 1; }), std::runtime_error);
    EXPECT_EQ(after, 0);
    pool.cancel();
    submit(pool, [&](int64_t) { ++after; });
    pool.wait_until([&] { return after == 1; });
    EXPECT_EQ(after, 1);
  }
}

TEST(WorkerPool, CancelAndTheEndWaitForJobsThatHaveBegun) {
  std::atomic<int> begun = 0;
  std::atomic<int> ended = 0;
  {
    WorkerPool pool(2);
    std::atomic<bool> go = false;
    for (int i = 0; i < 2; ++i) {
      submit(pool, [&](int64_t) {
        ++begun;
        go.wait(false);
        ++ended;
      });
    }
    while (begun < 2) {
      std::this_thread::yield();
    }
    submit(pool, [&](int64_t) { ++ended; });
    go = true;
    go.notify_all();
    pool.cancel();
    EXPECT_GE(ended, 2);
    for (int i = 0; i < 50; ++i) {
      submit(pool, [&](int64_t) { ++begun; });
    }
  }
  EXPECT_LE(begun, 52);
}

// Whatever a job throws ends the wait for it, with the cause.
TEST(WorkerPool, AnyFailureReachesTheCaller) {
  for (const int64_t threads : {0, 1, 4}) {
    WorkerPool pool(threads);
    submit(pool, [](int64_t) { throw std::bad_alloc(); });
    EXPECT_THROW(pool.wait_until([] { return false; }), std::bad_alloc);
    pool.cancel();
    submit(pool, [](int64_t) { throw 42; });
    try {
      pool.wait_until([] { return false; });
      FAIL();
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "a worker thread ended with an exception of an unknown type");
    }
  }
}

/// Lets new threads ask for stacks of this size, of which few or none fit into the address space.
class HugeStacks {
 public:
  explicit HugeStacks(size_t bytes) {
    pthread_attr_t attributes;
    pthread_getattr_default_np(&attributes);
    pthread_attr_getstacksize(&attributes, &before_);
    set(bytes);
    pthread_attr_destroy(&attributes);
  }
  ~HugeStacks() { set(before_); }
  HugeStacks(const HugeStacks&) = delete;
  HugeStacks& operator=(const HugeStacks&) = delete;

 private:
  static void set(size_t bytes) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, bytes);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
  }
  size_t before_ = 0;
};

TEST(WorkerPool, ThreadsThatTheSystemRefusesAreAnError) {
  for (const size_t stack : {size_t{1} << 60, size_t{1} << 45}) {  // not even the first, and not all
    const HugeStacks huge(stack);
    try {
      WorkerPool pool(64);
      FAIL() << "all of them started";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("of 64: Resource temporarily unavailable; use fewer workers"), std::string::npos)
          << error.what();
    }
  }
}

TEST(WorkerPool, ALimitCountsFromTheLastJobThatEnded) {
  const auto gate = std::make_shared<Gate>();
  WorkerPool pool(2);
  std::atomic<int> quick = 0;
  submit(pool, [gate](int64_t) { gate->wait(); });
  for (int i = 0; i < 5; ++i) {
    submit(pool, [&](int64_t) { ++quick; });
  }
  EXPECT_TRUE(pool.wait_until([&] { return quick == 5; }, 300));
  EXPECT_FALSE(pool.wait_until([&] { return quick == 6; }, 0.05)) << "the other one is stuck";
  EXPECT_FALSE(pool.cancel(0.05));
  gate->open();
  EXPECT_TRUE(pool.cancel(300));
}

/// Waits for work of 0.2 s for at most 1.6 s, while the whole process is stopped for 2 s. Exits with 0 if the work ends in
/// time.
void wait_while_stopped() {
  constexpr timespec kBefore{.tv_sec = 0, .tv_nsec = 50'000'000}, kStopped{.tv_sec = 2, .tv_nsec = 0};
  constexpr std::chrono::milliseconds kPart(10);
  const pid_t own = ::getpid();
  if (::fork() == 0) {
    ::nanosleep(&kBefore, nullptr);
    ::kill(own, SIGSTOP);
    ::nanosleep(&kStopped, nullptr);
    ::kill(own, SIGCONT);
    ::_exit(0);
  }
  WorkerPool pool(1);
  std::atomic<bool> done = false;
  submit(pool, [&](int64_t) {
    for (int i = 0; i < 20; ++i) {  // one of them alone passes while the process is stopped
      std::this_thread::sleep_for(kPart);
    }
    done = true;
  });
  std::exit(pool.wait_until([&] { return done.load(); }, 1.6) ? 0 : 1);
}

// As batch systems do.
TEST(WorkerPoolDeathTest, ALimitDoesNotCountWhileTheProcessIsStopped) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(wait_while_stopped(), ::testing::ExitedWithCode(0), "");
}

TEST(WorkerPool, ThreadsLeftBehindOutliveIt) {
  const auto gate = std::make_shared<Gate>();
  std::atomic<int> after = 0;
  {
    WorkerPool pool(3);
    submit(pool, [gate](int64_t) { gate->wait(); });
    gate->until_waiting(1);
    submit(pool, [&](int64_t) { ++after; });
    pool.wait_until([&] { return after == 1; });
    int asked = 0;
    pool.abandon([&](int64_t) { return asked++ >= 0; });
    EXPECT_EQ(asked, 3);
  }
  gate->open();
  gate->until_passed(1);
}

}  // namespace
}  // namespace residua::test
