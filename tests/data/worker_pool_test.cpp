#include "core/data/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <utility>

#include "core/base/error.h"

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

}  // namespace
}  // namespace residua::test
