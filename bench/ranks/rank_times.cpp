#include "bench/ranks/rank_times.h"

#include <algorithm>

#include "core/base/error.h"

namespace residua::bench {
namespace {

using Json = nlohmann::json;

std::vector<Json> gathered(Communicator& ranks, const Json& own) {
  std::vector<Json> all;
  for (const std::string& text : ranks.gather(own.dump())) {
    all.push_back(Json::parse(text));
  }
  return all;
}

}  // namespace

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<double> slowest_of_ranks(Communicator& ranks, const std::vector<double>& own) {
  std::vector<double> slowest = own;
  for (const Json& times : gathered(ranks, own)) {
    if (times.size() != own.size()) {
      fail("a rank has timed {} calls, another {}", times.size(), own.size());
    }
    for (size_t i = 0; i < own.size(); ++i) {
      slowest[i] = std::max(slowest[i], times[i].get<double>());
    }
  }
  return slowest;
}

RankTimes of_all_ranks(Communicator& ranks, const std::vector<StepTimes>& own) {
  RankTimes times;
  double total = 0, waited = 0;
  bool seen = true;
  for (const StepTimes& step : own) {
    times.seconds.push_back(step.seconds);
    total += step.seconds;
    waited += step.waited;
    seen = seen && step.waits_at.has_value();
  }
  if (ranks.alone()) {
    return times;
  }
  times.seconds = slowest_of_ranks(ranks, times.seconds);
  for (const Json& share : gathered(ranks, seen ? Json(waited / total) : Json(nullptr))) {
    if (share.is_null()) {
      times.waiting_shares.clear();
      break;
    }
    times.waiting_shares.push_back(share.get<double>());
  }
  return times;
}

Json sum_times(const std::vector<StepTimes>& steps) {
  const auto median_ms = [&](const auto& value) {
    std::vector<double> values;
    for (const StepTimes& step : steps) {
      values.push_back(1e3 * value(step));
    }
    return median(std::move(values));
  };
  Json sums = Json::array();
  for (size_t i = 0; i < steps.front().sums.size(); ++i) {
    const auto start = [i](const StepTimes& step) { return step.sums.at(i).start; };
    sums.push_back({{"bytes", steps.front().sums[i].bytes}, {"start_ms", median_ms(start)}});
  }
  return {{"sums", std::move(sums)},
          {"waits_at_ms", median_ms([](const StepTimes& step) { return step.waits_at.value_or(0); })},
          {"waited_ms", median_ms([](const StepTimes& step) { return step.waited; })}};
}

}  // namespace residua::bench
