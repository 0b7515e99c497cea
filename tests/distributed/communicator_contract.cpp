#include "tests/distributed/communicator_contract.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/device/device_api.h"

namespace residua::test {
namespace {

constexpr DType kAll[] = {DType::f32, DType::f16, DType::bf16, DType::u8, DType::i32, DType::i64};
constexpr DType kSummed[] = {DType::f32, DType::f16, DType::bf16, DType::i32, DType::i64};
constexpr int64_t kSizes[] = {0, 1, 3, 257, 70001};

template <class... Args>
void expect(bool holds, fmt::format_string<Args...> format, Args&&... args) {
  if (!holds) {
    fail(format, std::forward<Args>(args)...);
  }
}

/// Calls `function` with a value of the C++ type of `dtype`.
template <class Function>
void with_type(DType dtype, const Function& function) {
  switch (dtype) {
    case DType::f32: return function(float{});
    case DType::f16: return function(f16{});
    case DType::bf16: return function(bf16{});
    case DType::u8: return function(uint8_t{});
    case DType::i32: return function(int32_t{});
    case DType::i64: return function(int64_t{});
  }
}

template <class T>
T make(double value) {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>) {
    return from_float<T>(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

double number(f16 x) { return to_float(x); }
double number(bf16 x) { return to_float(x); }
template <class T>
double number(T x) {
  return static_cast<double>(x);
}

std::string encoded(const std::vector<double>& values, DType dtype) {
  std::string bytes;
  with_type(dtype, [&](auto type) {
    for (const double value : values) {
      const auto element = make<decltype(type)>(value);
      bytes.append(reinterpret_cast<const char*>(&element), sizeof element);
    }
  });
  return bytes;
}

std::vector<double> decoded(const std::string& bytes, DType dtype) {
  std::vector<double> values;
  with_type(dtype, [&](auto type) {
    for (size_t i = 0; i < bytes.size(); i += sizeof type) {
      std::memcpy(&type, bytes.data() + i, sizeof type);
      values.push_back(number(type));
    }
  });
  return values;
}

Tensor make_tensor(const std::vector<double>& values, DType dtype, Device device) {
  return tensor_of(encoded(values, dtype), {static_cast<int64_t>(values.size())}, dtype, device);
}

void expect_values(const Tensor& x, const std::vector<double>& wanted, const char* what) {
  const std::vector<double> got = decoded(bytes_of(x), x.dtype());
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool same = std::isnan(wanted[i]) ? std::isnan(got[i]) : got[i] == wanted[i];
    expect(same, "{} of {} {} elements: element {} is {}, wanted {}", what, wanted.size(), name(x.dtype()), i, got[i],
           wanted[i]);
  }
}

void expect_same_bits(Communicator& communicator, const Tensor& x, const char* what) {
  const std::vector<std::string> all = communicator.gather(bytes_of(x));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    expect(all[rank] == all[0], "{}: rank {} has other bits than rank 0", what, rank);
  }
}

/// Small whole numbers, which all types add without rounding.
double small(int64_t rank, int64_t i) { return static_cast<double>((i * 7 + rank * 3) % 11); }

void check_sums(Communicator& communicator, Device device) {
  for (const DType dtype : kSummed) {
    for (const int64_t size : kSizes) {
      std::vector<double> own, total;
      for (int64_t i = 0; i < size; ++i) {
        own.push_back(small(communicator.rank(), i));
        double sum = 0;
        for (int64_t rank = 0; rank < communicator.world(); ++rank) {
          sum += small(rank, i);
        }
        total.push_back(sum);
      }
      const Tensor x = make_tensor(own, dtype, device);
      communicator.sum(x);
      communicator.finish();
      expect_values(x, total, "the sum");
    }
  }
}

void check_values_that_are_not_finite(Communicator& communicator, Device device) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const bool last = communicator.rank() == communicator.world() - 1;
  const bool several = communicator.world() > 1;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    // NaN of one rank, infinity of one, both signs of infinity.
    const Tensor x =
        make_tensor({communicator.leads() ? NAN : 1, last ? kInfinity : 1, last ? kInfinity : -kInfinity}, dtype, device);
    communicator.sum(x);
    communicator.finish();
    expect_values(x, {NAN, kInfinity, several ? NAN : kInfinity}, "the sum");
  }
}

void check_same_bits(Communicator& communicator, Device device) {
  constexpr int64_t kSize = 5003;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    std::vector<double> total(kSize), own;
    for (int64_t rank = 0; rank < communicator.world(); ++rank) {
      std::mt19937_64 random(static_cast<uint64_t>(rank) + 1);
      std::vector<double> values;
      for (int64_t i = 0; i < kSize; ++i) {
        values.push_back(std::normal_distribution<>(1)(random));
      }
      const std::vector<double> rounded = decoded(encoded(values, dtype), dtype);
      for (size_t i = 0; i < total.size(); ++i) {
        total[i] += rounded[i];
      }
      own = rank == communicator.rank() ? values : own;
    }
    const Tensor x = make_tensor(own, dtype, device);
    communicator.sum(x);
    communicator.finish();
    const double unit = dtype == DType::f32 ? 0x1p-23 : dtype == DType::f16 ? 0x1p-10 : 0x1p-7;
    const std::vector<double> got = decoded(bytes_of(x), dtype);
    for (size_t i = 0; i < got.size(); ++i) {
      const double error = std::fabs(got[i] - total[i]);
      const double most = unit * static_cast<double>(communicator.world()) * 8;
      expect(!std::isnan(error) && error <= most, "the sum of {}: element {} is {}, wanted {} within {}", name(dtype), i,
             got[i], total[i], most);
    }
    expect_same_bits(communicator, x, "the sum");
  }
}

void check_broadcasts_and_rows(Communicator& communicator, Device device) {
  for (const DType dtype : kAll) {
    for (const int64_t size : kSizes) {
      std::vector<double> own, first, rows, all_rows;
      for (int64_t i = 0; i < size; ++i) {
        own.push_back(small(communicator.rank(), i) + 1);
        first.push_back(small(0, i) + 1);
      }
      const Tensor x = make_tensor(own, dtype, device);
      communicator.broadcast(x);
      for (int64_t rank = 0; rank < communicator.world(); ++rank) {
        for (int64_t i = 0; i < size; ++i) {
          rows.push_back(rank == communicator.rank() ? small(rank, i) + 2 : 99);
          all_rows.push_back(small(rank, i) + 2);
        }
      }
      const Tensor y = tensor_of(encoded(rows, dtype), {communicator.world(), size}, dtype, device);
      communicator.gather_rows(y);
      communicator.finish();
      expect_values(x, first, "the broadcast");
      expect_values(y, all_rows, "the gathered rows");
    }
  }
}

void check_order(Communicator& communicator, Device device) {
  const auto world = static_cast<double>(communicator.world());
  communicator.finish();  // nothing has been started
  for (int repeat = 0; repeat < 3; ++repeat) {
    const Tensor a = make_tensor({1, 2, 3}, DType::f32, device);
    const Tensor b = make_tensor({static_cast<double>(communicator.rank())}, DType::i64, device);
    const Tensor c = empty({3}, DType::f32, device);
    communicator.sum(a);
    communicator.sum(a);
    communicator.broadcast(b);
    communicator.sum(b);
    communicator.finish();
    c.copy_from(a);  // queued behind it
    communicator.sum(c);
    communicator.finish();
    communicator.finish();
    if (repeat == 1) {
      device_api::synchronize(device);  // a host device runs the communication stream first, as far as it does not wait
    }
    expect_values(a, {world * world, 2 * world * world, 3 * world * world}, "two sums in a row");
    expect_values(b, {0}, "a broadcast of zero and a sum");
    expect_values(c, {world * world * world, 2 * world * world * world, 3 * world * world * world}, "the sum of a copy");
  }
}

void check_whole_values(Communicator& communicator, Device device) {
  expect(communicator.device() == device, "it exchanges tensors of {}, wanted {}", communicator.device().string(),
         device.string());
  constexpr int64_t kLarge = int64_t{1} << 53;  // a double has no odd numbers above
  std::vector<int64_t> values = {kLarge + 1, -kLarge - 1, communicator.rank()};
  sum_values(communicator, values);
  const int64_t world = communicator.world();
  const std::vector<int64_t> wanted = {world * (kLarge + 1), -world * (kLarge + 1), world * (world - 1) / 2};
  for (size_t i = 0; i < values.size(); ++i) {
    expect(values[i] == wanted[i], "the sum of whole numbers: element {} is {}, wanted {}", i, values[i], wanted[i]);
  }
}

}  // namespace

Tensor tensor_of(const std::string& bytes, Shape shape, DType dtype, Device device) {
  Tensor x = empty(std::move(shape), dtype, device);
  device_api::copy(device, x.data(), Device{}, bytes.data(), static_cast<int64_t>(bytes.size()));
  return x;
}

std::string bytes_of(const Tensor& x) {
  std::string bytes(static_cast<size_t>(x.bytes()), '\0');
  device_api::copy(Device{}, bytes.data(), x.device(), x.data(), x.bytes());
  return bytes;
}

void check_host_contract(Communicator& communicator) {
  expect(communicator.rank() >= 0 && communicator.rank() < communicator.world(), "rank {} of {}", communicator.rank(),
         communicator.world());
  const auto value_of = [](int64_t rank, size_t bytes) {
    std::string value(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i) {
      value[i] = static_cast<char>(i * 31 + static_cast<size_t>(rank));
    }
    return value;
  };
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{1000}, size_t{3'000'000}, size_t{5}}) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      // Each rank's value has another length; those of odd ranks are empty at times.
      const auto length = [&](int64_t rank) { return repeat == 2 && rank % 2 == 1 ? 0 : bytes + static_cast<size_t>(rank); };
      const std::vector<std::string> all = communicator.gather(value_of(communicator.rank(), length(communicator.rank())));
      expect(std::ssize(all) == communicator.world(), "gather gives {} values, wanted {}", all.size(), communicator.world());
      for (int64_t rank = 0; rank < communicator.world(); ++rank) {
        expect(all[static_cast<size_t>(rank)] == value_of(rank, length(rank)), "the value of rank {} is wrong", rank);
      }
    }
  }
  expect(of_rank_0(communicator, communicator.leads() ? "yes" : "no") == "yes", "of_rank_0 gives another rank's value");
  expect(largest(communicator, 10 * communicator.rank() - 7) == 10 * communicator.world() - 17, "largest is wrong");
  for (int64_t rank = 0; rank < communicator.world(); ++rank) {
    expect(communicator.describe(rank).starts_with(fmt::format("rank {} of {}", rank, communicator.world())),
           "rank {} is described as '{}'", rank, communicator.describe(rank));
  }
}

void check_tensor_contract(Communicator& communicator, Device device) {
  check_sums(communicator, device);
  check_values_that_are_not_finite(communicator, device);
  check_same_bits(communicator, device);
  check_broadcasts_and_rows(communicator, device);
  check_order(communicator, device);
  check_whole_values(communicator, device);
}

}  // namespace residua::test
