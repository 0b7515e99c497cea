#include "core/io/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "core/io/atomic_file.h"

namespace residua {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation
constexpr int kMaxNesting = 3;                     // header, tensor, shape or data_offsets
constexpr std::array<std::pair<std::string_view, DType>, 6> kDTypes = {{{"F32", DType::f32},
                                                                        {"F16", DType::f16},
                                                                        {"BF16", DType::bf16},
                                                                        {"I64", DType::i64},
                                                                        {"I32", DType::i32},
                                                                        {"U8", DType::u8}}};

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin;  // bytes from the end of the header
  uint64_t end;
};

struct Header {
  std::vector<Entry> entries;
  SafetensorsMetadata metadata;
  uint64_t data_begin = 0;
};

/// A regular file, read at offsets. O_NONBLOCK: opening a FIFO must not wait for its writer.
class InputFile {
 public:
  explicit InputFile(const std::string& path)
      : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) {
      fail_usage("cannot read {}: {}", path_, std::system_category().message(errno));
    }
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(descriptor_);
      fail_usage("cannot read {}: it is not a regular file", path_);
    }
    size_ = static_cast<uint64_t>(status.st_size);
  }
  ~InputFile() { ::close(descriptor_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  void read(void* destination, uint64_t bytes, uint64_t offset) const {
    char* next = static_cast<char*>(destination);
    while (bytes > 0) {
      const ssize_t got = ::pread(descriptor_, next, bytes, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got <= 0) {
        fail("cannot read {} at byte {}: {}", path_, offset,
             got < 0 ? std::system_category().message(errno) : "the file became shorter");
      }
      next += got;
      offset += static_cast<uint64_t>(got);
      bytes -= static_cast<uint64_t>(got);
    }
  }

 private:
  std::string path_;
  int descriptor_;
  uint64_t size_ = 0;
};

template <class... Args>
[[noreturn]] void fail_format(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
  fail_usage("{} is not a valid safetensors file: {}", path, fmt::format(format, std::forward<Args>(args)...));
}

/// Names come from the file: printed with escapes and cut, so that a message stays one line.
std::string quoted(const std::string& name) {
  constexpr size_t kShown = 80;
  std::string text = nlohmann::json(name).dump(-1, ' ', true);
  return text.size() <= kShown ? text : text.substr(0, kShown) + "...";
}

/// The header as JSON; keys are unique and nothing nests deeper than the format does.
nlohmann::json parse_header(const std::string& path, const std::string& text) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if ((event == Event::object_start || event == Event::array_start) && depth >= kMaxNesting) {
      fail_format(path, "its header nests deeper than {} levels", kMaxNesting);
    }
    if (event == Event::object_start) {
      keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key && !keys.back().insert(value.get<std::string>()).second) {
      fail_format(path, "the name {} comes twice", quoted(value.get<std::string>()));
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, check);
  } catch (const nlohmann::json::parse_error& error) {
    fail_format(path, "its header is not JSON (byte {} of it)", error.byte);
  } catch (const nlohmann::json::exception&) {
    fail_format(path, "its header holds a number out of range");
  }
}

/// An array of non-negative integers below 2^63.
std::optional<std::vector<int64_t>> as_sizes(const nlohmann::json& value) {
  if (!value.is_array()) {
    return std::nullopt;
  }
  std::vector<int64_t> sizes;
  for (const nlohmann::json& item : value) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
      return std::nullopt;
    }
    sizes.push_back(item.get<int64_t>());
  }
  return sizes;
}

Entry parse_entry(const std::string& path, const std::string& name, const nlohmann::json& value) {
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets")) {
    fail_format(path, "tensor {} must have dtype, shape and data_offsets and nothing else", quoted(name));
  }
  const nlohmann::json& type = value["dtype"];
  const auto known = std::find_if(kDTypes.begin(), kDTypes.end(), [&](const auto& pair) {
    return type.is_string() && type.get_ref<const std::string&>() == pair.first;
  });
  if (known == kDTypes.end()) {
    fail_usage("{}: tensor {} has element type {}; supported are F32, F16, BF16, I64, I32 and U8", path, quoted(name),
               type.is_string() ? quoted(type.get<std::string>()) : "that is no string");
  }
  const auto sizes = as_sizes(value["shape"]);
  if (!sizes) {
    fail_format(path, "the shape of tensor {} is not a list of sizes", quoted(name));
  }
  if (sizes->size() > size_t{Shape::kMaxRank}) {
    fail_usage("{}: tensor {} has {} dimensions; supported are at most {}", path, quoted(name), sizes->size(), Shape::kMaxRank);
  }
  const auto offsets = as_sizes(value["data_offsets"]);
  if (!offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1]) {
    fail_format(path, "data_offsets of tensor {} is not [begin, end]", quoted(name));
  }
  int64_t bytes = size_bytes(known->second);
  for (const int64_t size : *sizes) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) {
      fail_format(path, "the shape of tensor {} has more elements than can be counted", quoted(name));
    }
  }
  if (bytes != (*offsets)[1] - (*offsets)[0]) {
    fail_format(path, "tensor {} needs {} bytes for its shape and type, its data_offsets give it {}", quoted(name), bytes,
                (*offsets)[1] - (*offsets)[0]);
  }
  std::optional<Shape> shape;
  try {
    shape.emplace(std::span<const int64_t>(*sizes));
  } catch (const Error&) {
    fail_format(path, "the shape of tensor {} is too large", quoted(name));
  }
  return {name, known->second, *shape, static_cast<uint64_t>((*offsets)[0]), static_cast<uint64_t>((*offsets)[1])};
}

/// The tensors must cover the data section exactly once, from its first byte to the last of the file.
void check_layout(const std::string& path, std::vector<Entry>& entries, uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name); });
  uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.end > data_bytes) {
      fail_format(path, "tensor {} ends at byte {} of {} bytes of data: the file was cut short or its header is wrong",
                  quoted(entry.name), entry.end, data_bytes);
    }
    if (entry.begin != covered) {
      fail_format(path, "tensor {} begins at byte {}, {} the end of the one before it at byte {}", quoted(entry.name),
                  entry.begin, entry.begin < covered ? "before" : "after", covered);
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    fail_format(path, "{} bytes follow the last tensor", data_bytes - covered);
  }
}

Header read_header(const InputFile& file) {
  const std::string& path = file.path();
  if (file.size() < kLengthBytes) {
    fail_format(path, "it has {} bytes, fewer than the header's length takes", file.size());
  }
  uint64_t length = 0;
  file.read(&length, kLengthBytes, 0);
  if (length > kMaxHeaderBytes || length > file.size() - kLengthBytes) {
    fail_format(path, "its header would take {} bytes of a file of {}", length, file.size());
  }
  std::string text(length, '\0');
  file.read(text.data(), length, kLengthBytes);
  if (text.empty() || text.front() != '{') {
    fail_format(path, "its header does not begin with {{");
  }

  Header header;
  header.data_begin = kLengthBytes + length;
  const nlohmann::json json = parse_header(path, text);
  for (const auto& [name, value] : json.items()) {
    if (name != kMetadataKey) {
      header.entries.push_back(parse_entry(path, name, value));
      continue;
    }
    if (!value.is_object()) {
      fail_format(path, "__metadata__ is not an object");
    }
    for (const auto& [key, item] : value.items()) {
      if (!item.is_string()) {
        fail_format(path, "metadata {} is not a string", quoted(key));
      }
      header.metadata.emplace(key, item.get<std::string>());
    }
  }
  check_layout(path, header.entries, file.size() - header.data_begin);
  return header;
}

std::string_view format_name(DType dtype) {
  return std::find_if(kDTypes.begin(), kDTypes.end(), [&](const auto& pair) { return pair.second == dtype; })->first;
}

}  // namespace

const Tensor* Safetensors::find(const std::string& name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& item) { return item.name == name; });
  return found != tensors.end() ? &found->tensor : nullptr;
}

Safetensors load_safetensors(const std::string& path) {
  const InputFile file(path);
  Header header = read_header(file);
  Safetensors result;
  result.path = path;
  result.metadata = std::move(header.metadata);
  for (const Entry& entry : header.entries) {
    Tensor tensor = empty(entry.shape, entry.dtype);
    file.read(tensor.data(), entry.end - entry.begin, header.data_begin + entry.begin);
    result.tensors.push_back({entry.name, std::move(tensor)});
  }
  return result;
}

SafetensorsMetadata load_safetensors_metadata(const std::string& path) { return read_header(InputFile(path)).metadata; }

void save_safetensors(const std::string& path, std::span<const NamedTensor> tensors, const SafetensorsMetadata& metadata) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& item : tensors) {
    order.push_back(&item);
  }
  std::sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    const int64_t a_bytes = size_bytes(a->tensor.dtype());
    const int64_t b_bytes = size_bytes(b->tensor.dtype());
    return a_bytes != b_bytes ? a_bytes > b_bytes : a->name < b->name;
  });

  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    json[std::string(kMetadataKey)] = metadata;
  }
  std::set<std::string_view> names = {kMetadataKey};
  int64_t offset = 0;
  for (const NamedTensor* item : order) {
    if (!names.insert(item->name).second) {
      fail("cannot save {}: the tensor name '{}' is reserved or comes twice", path, item->name);
    }
    const Tensor& tensor = item->tensor;
    // Not json[name]: ordered_json looks a key up from the front each time.
    json.get_ref<nlohmann::ordered_json::object_t&>().emplace_back(
        item->name, nlohmann::ordered_json{{"dtype", format_name(tensor.dtype())},
                                           {"shape", tensor.shape().sizes()},
                                           {"data_offsets", {offset, offset + tensor.bytes()}}});
    offset += tensor.bytes();
  }
  std::string header;
  try {
    header = json.dump();
  } catch (const nlohmann::json::exception&) {
    fail("cannot save {}: a tensor name or metadata string is not UTF-8", path);
  }
  header.resize((header.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');

  AtomicFile file(path);
  const uint64_t length = header.size();
  file.write(&length, kLengthBytes);
  file.write(header);
  for (const NamedTensor* item : order) {
    const Tensor host = item->tensor.device() == Device{} ? item->tensor : item->tensor.to(Device{});
    file.write(host.data(), static_cast<size_t>(host.bytes()));
  }
  file.commit();
}

}  // namespace residua
