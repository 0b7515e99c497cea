// allreduce-bench: how fast the ranks that a launcher starts sum arrays, over a range of sizes and for the gradients of a
// network.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/ranks/rank_times.h"
#include "core/device/device_api.h"
#include "core/device/precision.h"
#include "core/distributed/connect.h"
#include "core/io/atomic_file.h"
#include "core/nn/parameter_store.h"
#include "core/optim/gradient_buckets.h"
#include "core/train/run_config.h"
#include "core/train/train_step.h"
#include "models/network.h"
#include "tools/cli/ranks.h"
#include "tools/cli/run_app.h"

namespace residua::bench {
namespace {

using Json = nlohmann::json;

struct Options {
  std::string device = "auto";
  std::string precision = "fp32";
  uint64_t smallest = 1024;
  uint64_t largest = 64 << 20;
  int64_t factor = 4;
  std::string model;
  double seconds = 0.02;
  int rounds = 15;
  std::string json;
};

/// What calls took.
struct CallTimes {
  std::vector<double> seconds;  // of one call in each round: the mean over calls that follow each other, of the slowest rank
  double processor_share = 0;   // this process's processor seconds / seconds, over all rounds
};

/// Times calls that all ranks make together.
class Stopwatch {
 public:
  Stopwatch(Communicator& ranks, const Options& o) : ranks_(ranks), seconds_(o.seconds), rounds_(o.rounds) {}

  CallTimes time(Device device, const std::function<void()>& call) const {
    call();
    const double once = run(device, call, 1);
    const double wanted = std::clamp(std::ceil(seconds_ / once), 1.0, 10000.0);
    const int64_t calls = std::stoll(of_rank_0(ranks_, fmt::format("{:.0f}", wanted)));
    std::vector<double> rounds;
    double seconds = 0;
    const std::clock_t before = std::clock();
    for (int i = 0; i < rounds_; ++i) {
      const double all = run(device, call, calls);
      seconds += all;
      rounds.push_back(all / static_cast<double>(calls));
    }
    const double processor_seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    return {.seconds = slowest_of_ranks(ranks_, rounds), .processor_share = processor_seconds / seconds};
  }

 private:
  static double run(Device device, const std::function<void()>& call, int64_t calls) {
    device_api::Timestamp begin(device);
    device_api::Timestamp end(device);
    begin.record();
    for (int64_t i = 0; i < calls; ++i) {
      call();
    }
    end.record();
    return end.seconds_since(begin);
  }

  Communicator& ranks_;
  double seconds_;
  int rounds_;
};

/// Fails unless the sum of an array like x is right on this rank. Element i is 1 + i % 3 on one rank, 4 on the next and 0 on
/// all others, so that every type holds each sum exactly.
void check_sum(Communicator& ranks, const Tensor& x) {
  const int64_t world = ranks.world();
  std::vector<float> values(static_cast<size_t>(x.size()));
  for (int64_t i = 0; i < x.size(); ++i) {
    values[static_cast<size_t>(i)] =
        static_cast<float>((i % world == ranks.rank() ? 1 + i % 3 : 0) + ((i + 1) % world == ranks.rank() ? 4 : 0));
  }
  x.copy_from(values);
  ranks.sum(x);
  ranks.finish();
  values = x.to_vector();
  ranks.check();
  for (int64_t i = 0; i < x.size(); ++i) {
    const auto wanted = static_cast<float>(5 + i % 3);
    if (values[static_cast<size_t>(i)] != wanted) {
      fail("the sum of {} bytes is wrong: element {} is {}, wanted {}", x.bytes(), i, values[static_cast<size_t>(i)], wanted);
    }
  }
}

/// A row of the table.
Json row_of(const std::string& name, int64_t bytes, const CallTimes& times, int64_t world) {
  const double middle = median(times.seconds);
  const auto [fastest, slowest] = std::ranges::minmax(times.seconds);
  const double speed = static_cast<double>(bytes) / middle * 1e-9;
  const double n = static_cast<double>(world);
  return {{"name", name},
          {"bytes", bytes},
          {"median_us", middle * 1e6},
          {"fastest_us", fastest * 1e6},
          {"slowest_us", slowest * 1e6},
          {"algorithm_gigabytes_per_second", speed},
          {"bus_gigabytes_per_second", speed * 2 * (n - 1) / n},
          {"processor_share", times.processor_share}};
}

void print_row(const Json& row) {
  fmt::print("{:<26}{:>12}{:>12.1f}{:>12.1f}{:>12.1f}{:>10.3f}{:>10.3f}\n", row["name"].get<std::string>(),
             row["bytes"].get<int64_t>(), row["median_us"].get<double>(), row["fastest_us"].get<double>(),
             row["slowest_us"].get<double>(), row["algorithm_gigabytes_per_second"].get<double>(),
             row["bus_gigabytes_per_second"].get<double>());
}

/// The gradients of a network, as training sums them.
class Gradients {
 public:
  Gradients(const std::string& model, Device device, DType type, Communicator& ranks)
      : network_(network_of(model, type)),
        store_(*network_.module, {.device = device, .compute = type, .matrix_gradient = type}),
        buckets_(store_, ranks, bucket_bytes(store_, TrainStepOptions{}.most_bucket_bytes)) {}

  const std::vector<GradientBuckets::Bucket>& buckets() const { return buckets_.buckets(); }
  int64_t bytes() const {
    int64_t sum = 0;
    for (const GradientBuckets::Bucket& bucket : buckets()) {
      sum += bucket.gradients.bytes();
    }
    return sum;
  }

 private:
  static Network network_of(const std::string& model, DType type) {
    ModelOptions chosen;
    Settings settings;
    declare(settings, chosen);
    settings.assign("model", {model}, Layer::command_line);
    return make_network(chosen, {}, type);
  }

  Network network_;
  ParameterStore store_;
  GradientBuckets buckets_;
};

Json sizes_of(const Gradients& gradients) {
  Json sizes = Json::array();
  for (const GradientBuckets::Bucket& bucket : gradients.buckets()) {
    sizes.push_back(bucket.gradients.bytes());
  }
  return sizes;
}

/// Times a sum of each size; returns the rows.
Json time_sizes(const Options& o, const Stopwatch& watch, Device device, DType type, Communicator& all) {
  Json rows = Json::array();
  for (auto bytes = static_cast<int64_t>(o.smallest); bytes <= static_cast<int64_t>(o.largest); bytes *= o.factor) {
    const int64_t size = (bytes + size_bytes(type) - 1) / size_bytes(type);
    check_sum(all, empty({size}, type, device));
    const Tensor x = zeros({size}, type, device);  // so that sums of sums do not grow
    rows.push_back(row_of("", x.bytes(),
                          watch.time(device,
                                     [&] {
                                       all.sum(x);
                                       all.finish();
                                     }),
                          all.world()));
    if (all.leads()) {
      print_row(rows.back());
    }
  }
  return rows;
}

/// Times a sum of each bucket, and of all of them as a step starts them; returns the rows.
Json time_gradients(const Gradients& gradients, const std::string& model, const Stopwatch& watch, Device device,
                    Communicator& all) {
  Json rows = Json::array();
  const auto add = [&](const std::string& name, int64_t bytes, const std::function<void()>& call) {
    rows.push_back(row_of(name, bytes, watch.time(device, call), all.world()));
    if (all.leads()) {
      print_row(rows.back());
    }
  };
  for (size_t i = 0; i < gradients.buckets().size(); ++i) {
    const Tensor& bucket = gradients.buckets()[i].gradients;
    check_sum(all, bucket);
    bucket.copy_from(zeros(bucket.shape(), bucket.dtype(), device));
    add(fmt::format("{}, bucket {}", model, i + 1), bucket.bytes(), [&] {
      all.sum(bucket);
      all.finish();
    });
  }
  add(fmt::format("{}, all buckets", model), gradients.bytes(), [&] {
    for (const GradientBuckets::Bucket& bucket : gradients.buckets()) {
      all.sum(bucket.gradients);
    }
    all.finish();
  });
  return rows;
}

int run_benchmark(const Options& o, Ranks& ranks) {
  const Device device = device_of_rank(o.device, ranks.launch());
  const DType type = compute_type(from_text<Precision>("precision", o.precision), device);
  if (o.largest < o.smallest) {
    fail_setting("largest", fmt::format("{}", o.largest), fmt::format("{} bytes, the smallest, or more", o.smallest));
  }
  Communicator& all = ranks.connect(device, TrainingOptions{}.rank_timeout);
  Json report = {{"device", device.string()}, {"device_name", device_api::describe(device).name},
                 {"ranks", all.world()},      {"precision", name(type)},
                 {"rounds", o.rounds},        {"rows", Json::array()}};
  std::optional<Gradients> gradients;
  if (!o.model.empty()) {
    gradients.emplace(o.model, device, type, all);
    report["model"] = o.model;
    report["bucket_bytes"] = sizes_of(*gradients);
  }
  if (all.alone()) {
    fmt::print("one rank: there is nothing to sum, and nothing was timed; start several, for example with mpirun -n 2\n");
  } else {
    const Stopwatch watch(all, o);
    if (all.leads()) {
      fmt::print("{} ranks on {}, {}, median of {} rounds\n", all.world(), device.string(), name(type), o.rounds);
      fmt::print("{:<26}{:>12}{:>12}{:>12}{:>12}{:>10}{:>10}\n", "", "bytes", "us", "fastest", "slowest", "alg GB/s",
                 "bus GB/s");
    }
    report["rows"] = time_sizes(o, watch, device, type, all);
    if (gradients) {
      report["gradients"] = time_gradients(*gradients, o.model, watch, device, all);
    }
    const std::vector<double> exchange = watch.time(Device{}, [&] { all.gather("16 bytes of text"); }).seconds;
    const auto [fastest, slowest] = std::ranges::minmax(exchange);
    report["exchange"] = {{"median_us", median(exchange) * 1e6}, {"fastest_us", fastest * 1e6}, {"slowest_us", slowest * 1e6}};
    if (all.leads()) {
      fmt::print("exchange of small values: {:.1f} us ({:.1f} to {:.1f})\n", median(exchange) * 1e6, fastest * 1e6,
                 slowest * 1e6);
    }
  }
  if (!o.json.empty() && all.leads()) {
    atomic_write(o.json, report.dump(1) + "\n");
  }
  return 0;
}

}  // namespace
}  // namespace residua::bench

int main(int argc, char** argv) {
  residua::bench::Options o;
  residua::Ranks ranks;
  CLI::App app(
      "Times sums over the ranks that a launcher starts: for each size the time, its interval, size / time and, as "
      "nccl-tests, the bus bandwidth 2 (n - 1) / n x size / time. Checks each sum.",
      "allreduce-bench");
  app.option_defaults()->always_capture_default();
  app.add_option("--device", o.device, "device whose memory is summed: auto, cpu or cuda, each rank its own");
  app.add_option("--precision", o.precision, "data type of the numbers: auto, fp32, bf16 or fp16");
  app.add_option("--smallest", o.smallest, "first size in bytes; 1KB is 1024")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(4, 1 << 30));
  app.add_option("--largest", o.largest, "no larger size than this")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(4, 1 << 30));
  app.add_option("--factor", o.factor, "from one size to the next")->check(CLI::Range(2, 1024));
  app.add_option("-m,--model", o.model, "also time the sums of this network's gradients");
  app.add_option("--seconds", o.seconds, "least time of a round")->check(CLI::PositiveNumber);
  app.add_option("--rounds", o.rounds, "rounds; a figure is their median")->check(CLI::Range(1, 1000));
  app.add_option("--json", o.json, "write the figures to this JSON file");
  return residua::run_app(app, argc, argv, ranks, [&] { return residua::bench::run_benchmark(o, ranks); });
}
