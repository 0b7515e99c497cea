// op-bench: the time of each operation, forward and backward, over the case lists that the tests use.
#include <fmt/format.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/autograd/tape.h"
#include "core/tensor/device_api.h"
#include "core/train/train_options.h"
#include "tests/support/op_case.h"

namespace residua {
namespace {

using test::OpCase;

struct Options {
  std::string filter;
  int64_t batch = 32;
  std::string precision = "auto";
  std::string device = "auto";
  int threads = 0;
  double seconds = 0.3;
  std::string json;
  bool all = false;
};

constexpr int kLeastRuns = 5;
constexpr int kMostRuns = 1000;

/// Median of the times of `body` in seconds, after one run that is not counted, over at least `seconds`. `prepare` comes before
/// each run and is not timed.
template <class Prepare, class Body>
double median_seconds(Device device, double seconds, const Prepare& prepare, const Body& body) {
  std::vector<double> times;
  double total = 0;
  for (int i = -1; i < kMostRuns && (i < kLeastRuns || total < seconds); ++i) {
    prepare();
    device_api::synchronize(device);
    const auto start = std::chrono::steady_clock::now();
    body();
    device_api::synchronize(device);
    const double time = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (i >= 0) {
      times.push_back(time);
      total += time;
    }
  }
  std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

nlohmann::json report(const OpCase& c, const std::string& pass, double seconds, double bytes, double flops) {
  const double gigabytes = bytes / seconds * 1e-9;
  const double gigaflops = flops / seconds * 1e-9;
  fmt::print("{:<22}{:<62}{:<10}{:>10.4f}{:>10.1f}{:>10.1f}\n", c.op, c.name, pass, seconds * 1e3, gigabytes, gigaflops);
  return {{"op", c.op},
          {"case", c.name},
          {"pass", pass},
          {"median_ms", seconds * 1e3},
          {"gigabytes_per_second", gigabytes},
          {"gflops_per_second", gigaflops}};
}

void measure(OpCase c, const Options& o, DType precision, Device device, nlohmann::json& results) {
  c.usable = nullptr;
  test::Random random(c.full_name());
  const std::vector<test::HostArray> values = test::draw_inputs(c, precision, random);
  std::vector<Tensor> inputs = test::make_inputs(c, precision, values, device, test::Leaves::require_gradients);
  for (Tensor& input : inputs) {
    if (input.requires_grad()) {
      input.set_grad_buffer(empty_like(input));
    }
  }
  const double element = static_cast<double>(size_bytes(precision));
  std::vector<Tensor> outputs;
  const double forward = median_seconds(
      device, o.seconds, [&] { outputs.clear(); }, [&] { outputs = c.run(inputs); });
  results.push_back(report(c, "forward", forward, c.bytes ? c.bytes(element) : 0, c.flops));
  if (!c.backward_bytes) {
    return;
  }
  const Tensor& y = outputs.front();
  const Tensor projection = test::to_tensor(test::draw_projection(y.size(), y.dtype(), random), y.shape(), y.dtype(), device);
  Tensor loss;
  const auto prepare = [&] {
    for (Tensor& input : inputs) {
      input.zero_grad();
    }
    loss = test::projected(c.run(inputs).front(), projection);
  };
  const double backward_time = median_seconds(device, o.seconds, prepare, [&] { backward(loss); });
  results.push_back(report(c, "backward", backward_time, c.backward_bytes(element), c.backward_flops));
}

int run_benchmark(const Options& o) {
  const Device device = parse_device(o.device);
  const DType precision = parse_precision(o.precision, device);
  if (o.threads > 0) {
    omp_set_num_threads(o.threads);
  }
  nlohmann::json results = nlohmann::json::array();
  fmt::print("{} on {}, {} threads, batch {}\n", name(precision), device.string(), omp_get_max_threads(), o.batch);
  fmt::print("{:<22}{:<62}{:<10}{:>10}{:>10}{:>10}\n", "operation", "case", "pass", "ms", "GB/s", "GFLOP/s");
  for (const OpCase& c : test::op_cases(o.batch)) {
    if ((c.bench_only || o.all) && c.full_name().find(o.filter) != std::string::npos) {
      measure(c, o, precision, device, results);
    }
  }
  if (results.empty()) {
    fail_usage("no case has \"{}\" in its name; run without --filter to see them", o.filter);
  }
  if (!o.json.empty()) {
    const nlohmann::json document = {{"precision", name(precision)},
                                     {"device", device.string()},
                                     {"threads", omp_get_max_threads()},
                                     {"batch", o.batch},
                                     {"results", results}};
    std::ofstream file(o.json);
    file << document.dump(2) << "\n";
    if (!file.flush()) {
      fail("{} could not be written", o.json);
    }
  }
  return 0;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  residua::Options o;
  CLI::App app("Times each operation, forward and backward: median, bytes that must move at least and arithmetic per second.",
               "op-bench");
  app.option_defaults()->always_capture_default();
  app.add_option("--filter", o.filter, "only cases with this in their name, for example conv2d/ or 56x56x64");
  app.add_option("-b,--batch-size", o.batch)->check(CLI::Range(1, 1 << 20));
  app.add_option("--precision", o.precision, "auto, fp32, bf16 or fp16");
  app.add_option("--device", o.device, "auto, cpu, cuda or cuda:N");
  app.add_option("--threads", o.threads, "of the CPU device; 0: one a core")->check(CLI::Range(0, 4096));
  app.add_option("--seconds", o.seconds, "least time spent on each measurement")->check(CLI::Range(0.0, 3600.0));
  app.add_option("--json", o.json, "file for the results as one JSON object");
  app.add_flag("--all", o.all, "the small shapes of the tests too");
  try {
    app.parse(argc, argv);
    return residua::run_benchmark(o);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return 0;
  } catch (const CLI::ParseError& error) {
    std::cerr << "op-bench: " << error.what() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "op-bench: " << error.what() << "\n";
  }
  return 2;
}
