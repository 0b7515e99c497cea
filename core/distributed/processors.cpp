#include "core/distributed/processors.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"

namespace residua {
namespace {

using Json = nlohmann::json;

std::vector<int> processors_of(pid_t process) {
  std::array<cpu_set_t, 64> set{};  // 65536 processors
  std::vector<int> processors;
  if (::sched_getaffinity(process, sizeof set, set.data()) == 0) {
    for (int number = 0; number < static_cast<int>(8 * sizeof set); ++number) {
      if (CPU_ISSET_S(number, sizeof set, set.data())) {
        processors.push_back(number);
      }
    }
  }
  return processors;
}

/// With OMP_PROC_BIND, OpenMP binds this thread to the first of its places.
std::vector<int> own_processors() {
  std::vector<int> processors;
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> numbers(static_cast<size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, numbers.data());
    std::ranges::copy(numbers, std::back_inserter(processors));
  }
  return processors.empty() ? processors_of(0) : processors;
}

Affinity own_affinity() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return {.host = host.data(),
          .processors = own_processors(),
          .of_launcher = static_cast<int64_t>(processors_of(::getppid()).size())};
}

}  // namespace

std::vector<int64_t> divide_processors(const std::vector<Affinity>& ranks) {
  std::map<std::pair<std::string, int>, int64_t> users;
  for (const Affinity& rank : ranks) {
    for (const int processor : rank.processors) {
      ++users[{rank.host, processor}];
    }
  }
  std::vector<int64_t> shares;
  for (const Affinity& rank : ranks) {
    constexpr double kRounding = 1e-6;  // six thirds are two
    double share = kRounding;
    for (const int processor : rank.processors) {
      share += 1.0 / static_cast<double>(users[{rank.host, processor}]);
    }
    shares.push_back(std::max<int64_t>(1, static_cast<int64_t>(share)));
  }
  return shares;
}

std::string note_on_binding(const std::vector<Affinity>& ranks) {
  const std::vector<int64_t> shares = divide_processors(ranks);
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const Affinity& own = ranks[rank];
    const auto here = std::ranges::count(ranks, own.host, &Affinity::host);
    if (2 * here * shares[rank] <= own.of_launcher) {
      return fmt::format(
          "rank {} of {} is bound to {} of the {} processors of {}, which has {} for each of its ranks: mpirun --bind-to none "
          "lets them use all",
          rank, ranks.size(), shares[rank], own.of_launcher, own.host, own.of_launcher / here);
    }
  }
  return "";
}

RankProcessors processors_of_rank(Communicator& ranks) {
  const Affinity own = own_affinity();
  std::vector<Affinity> all;
  for (const std::string& text : ranks.gather(Json{own.host, own.processors, own.of_launcher}.dump())) {
    const Json of_rank = Json::parse(text);
    all.push_back({.host = of_rank[0], .processors = of_rank[1], .of_launcher = of_rank[2]});
  }
  return {.count = divide_processors(all)[static_cast<size_t>(ranks.rank())], .note = note_on_binding(all)};
}

}  // namespace residua
