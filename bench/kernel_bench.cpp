// kernel-bench: times each kernel at the networks' shapes, and compares it with the simple kernels it replaces, with cuDNN's
// own operation and with the device's memory bandwidth.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <vector>

#include "bench/kernels/contract_rows.h"
#include "bench/kernels/cudnn.h"
#include "bench/kernels/measure.h"
#include "bench/kernels/regressions.h"
#include "bench/kernels/rows.h"
#include "core/device/device_api.h"
#include "core/device/precision.h"
#include "core/io/atomic_file.h"
#include "core/kernels/matmul.h"
#include "tools/cli/version_flag.h"
#include "tools/cli/warnings.h"

namespace residua::bench {
namespace {

struct Options {
  std::string only = ".";
  int64_t batch = 0;
  std::vector<std::string> precisions;
  std::string device = "auto";
  int threads = 0;
  double seconds = 0.1;
  std::string json;
  std::string compare;
  std::string threshold = "5%";
  bool list = false;
  bool ceilings = false;
};

/// "5%" or "0.05".
double parse_threshold(const std::string& text) {
  size_t used = 0;
  double value = -1;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string rest = text.substr(used);
  if (used == 0 || !(value >= 0) || (rest != "%" && !rest.empty())) {
    fail_usage("threshold: got '{}', wanted a share such as 5% or 0.05", text);
  }
  return rest == "%" ? value / 100 : value;
}

nlohmann::json read_json(const std::string& path) {
  std::ifstream file(path);
  const nlohmann::json document = nlohmann::json::parse(file, nullptr, false);
  if (!document.is_object()) {
    fail_usage("cannot read {} as a JSON object", path);
  }
  return document;
}

/// FLOP/s of a large, compute-bound matrix product.
double matmul_flops_per_second(const Stopwatch& stopwatch, DType dtype) {
  constexpr int64_t kSide = 8192;
  const auto timing = stopwatch.time(
      [](Operands& o) {
        return sequence(o, Matmul{.dtype = o.dtype(),
                                  .c_dtype = o.dtype(),
                                  .m = kSide,
                                  .n = kSide,
                                  .k = kSide,
                                  .transpose_a = Transpose::no,
                                  .transpose_b = Transpose::yes,
                                  .a = o.read(kSide * kSide),
                                  .b = o.read(kSide * kSide),
                                  .bias = nullptr,
                                  .c = o.written(kSide * kSide)});
      },
      dtype);
  return 2.0 * kSide * kSide * kSide / timing->median_s;
}

std::vector<DType> wanted_types(const Options& o, Device device) {
  if (o.precisions.empty() && device.type == Device::Type::cuda) {
    return {DType::f16, DType::bf16, DType::f32};
  }
  std::vector<DType> types;
  for (const std::string& precision : o.precisions.empty() ? std::vector<std::string>{"auto"} : o.precisions) {
    types.push_back(compute_type(from_text<Precision>("precision", precision), device));
  }
  return types;
}

/// Returns the exit code.
int report_regressions(const nlohmann::json& report, const nlohmann::json& baseline, double threshold) {
  const Regressions found = compare(report, baseline, threshold);
  for (const std::string& row : found.unknown) {
    fmt::print("not in the baseline: {}\n", row);
  }
  for (const std::string& row : found.slower) {
    fmt::print("slower: {}\n", row);
  }
  fmt::print("{} of {} rows are more than {:g} % slower than the baseline\n", found.slower.size(), report.at("rows").size(),
             100 * threshold);
  return found.slower.empty() ? 0 : 1;
}

int run_benchmark(Options o) {
  const Device device = parse_device(o.device);
  const std::vector<DType> types = wanted_types(o, device);
  const double threshold = parse_threshold(o.threshold);
  const nlohmann::json baseline = o.compare.empty() ? nlohmann::json() : read_json(o.compare);
  if (o.batch == 0) {
    o.batch = device.type == Device::Type::cuda ? 256 : 32;
  }
  if (o.threads > 0) {
    omp_set_num_threads(o.threads);
  }
  std::vector<KernelCase> cases;
  for (KernelCase& c : kernel_cases(o.batch)) {
    if (std::regex_search(c.name(), std::regex(o.only))) {
      cases.push_back(std::move(c));
    }
  }
  if (cases.empty()) {
    fail_usage("no kernel and shape match \"{}\"; --list shows all of them", o.only);
  }
  if (o.list) {
    for (const KernelCase& c : cases) {
      fmt::print("{}\n", c.name());
    }
    if (!o.json.empty()) {
      atomic_write(o.json, nlohmann::json{{"batch", o.batch}, {"rows", contract_rows(cases, types)}}.dump(1) + "\n");
    }
    return 0;
  }

  const device_api::DeviceDescription description = device_api::describe(device);
  const Stopwatch stopwatch(device, o.seconds);
  const double copy = stopwatch.copy_bytes_per_second();
  nlohmann::json report = {{"device", description.name},
                           {"software", description.software},
                           {"cudnn", device.type == Device::Type::cuda ? cudnn_version() : std::string()},
                           {"date", fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)))},
                           {"batch", o.batch},
                           {"threads", omp_get_max_threads()},
                           {"ceilings", {{"copy_bytes_per_second", copy}}},
                           {"rows", nlohmann::json::array()}};
  fmt::print("{}, batch {}: a copy in device memory moves {:.1f} GB/s\n", description.name, o.batch, copy * 1e-9);
  if (device.type == Device::Type::cuda) {
    for (const DType dtype : {DType::f16, DType::bf16}) {
      const double flops = matmul_flops_per_second(stopwatch, dtype);
      report["ceilings"][fmt::format("matmul_{}_flops_per_second", name(dtype))] = flops;
      fmt::print("a {} matrix product of size 8192 runs at {:.1f} TFLOP/s\n", name(dtype), flops * 1e-12);
    }
  }
  const auto save = [&] {
    if (!o.json.empty()) {
      atomic_write(o.json, report.dump(1) + "\n");
    }
  };
  save();
  int failed = 0;
  if (!o.ceilings) {
    failed = measure_all(cases, types, stopwatch, copy, save, report);
  }
  if (failed > 0) {
    std::cerr << fmt::format("kernel-bench: {} of {} measurements failed\n", failed, failed + report["rows"].size());
    return 1;
  }
  return baseline.is_null() ? 0 : report_regressions(report, baseline, threshold);
}

}  // namespace
}  // namespace residua::bench

int main(int argc, char** argv) {
  residua::show_warnings();
  residua::bench::Options o;
  CLI::App app(
      "Times each kernel at the networks' shapes with cold caches. Columns: us: median time; GB/s: bandwidth, with each "
      "operand moved once; % copy: that bandwidth relative to a copy's; unfused and cuDNN: time of the simple kernels that it "
      "replaces, and of cuDNN's own operation, relative to this kernel.",
      "kernel-bench");
  app.option_defaults()->always_capture_default();
  residua::add_version_flag(app);
  app.add_option("--only", o.only,
                 "run only the kernels and shapes that match this regular expression, for example '^BatchNorm.*56x56x64'");
  app.add_option("-b,--batch-size", o.batch, "images per batch; 0: 256 on a CUDA device, 32 on the CPU")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option(
         "--precision", o.precisions,
         "comma-separated data types of activations: auto, fp32, bf16, fp16; default: all on a CUDA device, auto on the CPU")
      ->delimiter(',');
  app.add_option("--device", o.device, "device to run on: auto, cpu, cuda or cuda:N");
  app.add_option("--threads", o.threads, "compute threads of the CPU device; 0: one per core")->check(CLI::Range(0, 1024));
  app.add_option("--seconds", o.seconds, "minimum time per measurement in seconds; 0: a quick run with warm caches")
      ->check(CLI::Range(0.0, 3600.0));
  app.add_option("--json", o.json, "write the report to this JSON file");
  app.add_option("--compare", o.compare, "earlier report to compare with; the exit code is 1 if a kernel got slower");
  app.add_option("--threshold", o.threshold, "slowdown that --compare reports, such as 5% or 0.05");
  app.add_flag("--ceilings", o.ceilings,
               "only measure the bandwidth of a copy and, on a CUDA device, the speed of 16-bit matrix products");
  app.add_flag("--list", o.list, "list the kernels and shapes, with --json also the bytes that each moves, and exit");
  try {
    app.parse(argc, argv);
    return residua::bench::run_benchmark(std::move(o));
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const std::regex_error&) {
    std::cerr << "kernel-bench: --only '" << o.only << "' is not a regular expression\n";
  } catch (const std::exception& error) {
    std::cerr << "kernel-bench: " << error.what() << "\n";
  }
  return 2;
}
