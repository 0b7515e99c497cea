#include "core/io/safetensors_header.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "core/base/error.h"

namespace residua::safetensors {
namespace {

constexpr int kMaxNesting = 3;  // header, tensor, shape or data_offsets
constexpr size_t kMaxRank = 4;  // the most dimensions a Residua tensor has
constexpr int64_t kMaxElements = int64_t{1} << 62;

template <class... Args>
[[noreturn]] void fail_format(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
  fail_usage("{} is not a valid safetensors file: {}", path, fmt::format(format, std::forward<Args>(args)...));
}

std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return quoted + "'";
}

/// torch.save() writes a zip archive; before PyTorch 1.6 it wrote a pickle. Throws UsageError that says how to convert such a
/// file.
void refuse_pytorch_file(const InputFile& file) {
  std::array<unsigned char, 4> head{};
  file.read(head.data(), std::min<uint64_t>(head.size(), file.size()), 0);
  const bool zip = head == std::array<unsigned char, 4>{'P', 'K', 3, 4};
  const bool pickle = head[0] == 0x80 && head[1] >= 2 && head[1] <= 5;
  if (zip || pickle) {
    const std::string converted = std::filesystem::path(file.path()).replace_extension(".safetensors").string();
    fail_usage("{} is a PyTorch file, wanted a safetensors file; convert it with: tools/convert-weights {} {}", file.path(),
               shell_quoted(file.path()), shell_quoted(converted));
  }
}

/// Names come from the file, so print them escaped and cut to keep the message on one line.
std::string quoted(const std::string& name) {
  constexpr size_t kShown = 80;
  std::string text = nlohmann::json(name).dump(-1, ' ', true);
  return text.size() <= kShown ? text : text.substr(0, kShown) + "...";
}

/// Parses the header as JSON. Fails on duplicate keys and on deeper nesting than the format has.
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
      fail_format(path, "the name {} is used twice", quoted(value.get<std::string>()));
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text, check);
  } catch (const nlohmann::json::parse_error& error) {
    fail_format(path, "its header is not JSON (at its byte {})", error.byte);
  } catch (const nlohmann::json::exception&) {
    fail_format(path, "its header contains a number that is out of range");
  }
}

/// The value as a list of integers from 0 to 2^63 - 1, or nothing.
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
               type.is_string() ? quoted(type.get<std::string>()) : "that is not a string");
  }
  const auto sizes = as_sizes(value["shape"]);
  if (!sizes) {
    fail_format(path, "the shape of tensor {} is not a list of sizes", quoted(name));
  }
  if (sizes->size() > kMaxRank) {
    fail_usage("{}: tensor {} has {} dimensions; at most {} are supported", path, quoted(name), sizes->size(), kMaxRank);
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
    fail_format(path, "tensor {} needs {} bytes for its shape and type, but its data_offsets span {}", quoted(name), bytes,
                (*offsets)[1] - (*offsets)[0]);
  }
  if (bytes / size_bytes(known->second) > kMaxElements) {
    fail_format(path, "the shape of tensor {} is too large", quoted(name));
  }
  return {.name = name,
          .dtype = known->second,
          .shape = *sizes,
          .begin = static_cast<uint64_t>((*offsets)[0]),
          .end = static_cast<uint64_t>((*offsets)[1])};
}

/// The tensors must cover the data section exactly once, from its first byte to the last of the file.
void check_layout(const std::string& path, std::vector<Entry>& entries, uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name); });
  uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.end > data_bytes) {
      fail_format(path,
                  "tensor {} ends at byte {}, but the file has only {} bytes of data: it was cut short or its header is wrong",
                  quoted(entry.name), entry.end, data_bytes);
    }
    if (entry.begin != covered) {
      fail_format(path, "tensor {} begins at byte {}, {} the end of the previous tensor at byte {}", quoted(entry.name),
                  entry.begin, entry.begin < covered ? "before" : "after", covered);
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    fail_format(path, "{} bytes follow the last tensor", data_bytes - covered);
  }
}

}  // namespace

Header read_header(const InputFile& file) {
  const std::string& path = file.path();
  if (file.size() < kLengthBytes) {
    fail_format(path, "it has only {} bytes, too few for the length of its header", file.size());
  }
  uint64_t length = 0;
  file.read(&length, kLengthBytes, 0);
  if (length > kMaxHeaderBytes || length > file.size() - kLengthBytes) {
    refuse_pytorch_file(file);
    fail_format(path, "its header would take {} bytes, but the file has {}", length, file.size());
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

}  // namespace residua::safetensors
