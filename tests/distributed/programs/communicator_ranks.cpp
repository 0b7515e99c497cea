// One of several ranks, for tests/distributed/ranks_test.py, which starts, stops and kills them.
//   communicator-ranks mpi|tcp|connect LIMIT contract    holds the communicator to its contract
//   communicator-ranks mpi|tcp|connect LIMIT loop        exchanges values and sums until it is ended
//   communicator-ranks mpi LIMIT ask                     rank 0 asks who is behind after an exchange that the others skip
//   communicator-ranks mpi|tcp|connect LIMIT leave       rank 0 ends in order, the others stay until they are ended
// A rank says "rank 1 is process 4711" when it is connected. Exit codes: 2 if it cannot be connected, 3 after the failure of
// another.
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "core/base/warning.h"
#include "core/distributed/connect.h"
#include "core/distributed/mpi_communicator.h"
#include "core/distributed/tcp_communicator.h"
#include "tests/distributed/communicator_contract.h"

namespace {

using namespace residua;

std::unique_ptr<Communicator> connected(const std::string& how, double limit) {
  const Launch launch = launch_of([](const char* name) -> const char* { return std::getenv(name); });
  if (how == "connect") {
    return connect(launch, device_of_rank("cpu", launch), limit);
  }
  return how == "tcp" ? tcp_communicator(launch, limit) : mpi_communicator(launch, limit);
}

void run(Communicator& communicator, bool tensors, const std::string& what) {
  if (what == "contract") {
    test::check_host_contract(communicator);
    if (tensors) {
      test::check_tensor_contract(communicator, Device{});
    }
    return;
  }
  if (what == "leave" || what == "ask") {
    communicator.gather("");
    while (!communicator.leads()) {
      ::pause();
    }
    if (what == "leave") {
      return;
    }
    try {
      communicator.gather("");
    } catch (const RankFailure&) {
      fail("asked again: {}", dynamic_cast<HostCommunicator&>(communicator).who_is_behind());
    }
  }
  for (int64_t step = 0; true; ++step) {
    if (tensors) {
      const Tensor x = test::tensor_of(std::string(4096, '\0'), {1024}, DType::f32, Device{});
      communicator.sum(x);
      communicator.finish();
    }
    communicator.gather(std::to_string(step));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    return 64;
  }
  set_warning_sink([](const std::string& text) { fmt::print(stderr, "{}\n", text); });
  const std::string how = arguments[1];
  std::unique_ptr<Communicator> communicator;
  try {
    communicator = connected(how, std::stod(arguments[2]));
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    std::_Exit(2);  // a thread may be inside MPI
  }
  try {
    fmt::print("rank {} is process {}\n", communicator->rank(), ::getpid());
    std::fflush(stdout);
    run(*communicator, how != "tcp", arguments[3]);
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "rank {}: {}\n", communicator->rank(), error.what());
    std::fflush(stderr);
    communicator->abort(3);
  }
}
