#include "core/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/safetensors_digest.h"
#include "core/io/safetensors_header.h"

namespace residua {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

using safetensors::Entry;
using safetensors::Header;
using safetensors::kDTypes;
using safetensors::kLengthBytes;
using safetensors::kMetadataKey;

/// If the path cannot be opened, the caller made the mistake.
InputFile open_input(const std::string& path) try { return InputFile(path); } catch (const Error& error) {
  throw UsageError(error.what());
}

std::string_view format_name(DType dtype) {
  return std::find_if(kDTypes.begin(), kDTypes.end(), [&](const auto& pair) { return pair.second == dtype; })->first;
}

/// The arrays as the file stores them: wide element types first.
std::vector<const HostArrayView*> stored_order(std::span<const HostArrayView> arrays) {
  std::vector<const HostArrayView*> order;
  for (const HostArrayView& array : arrays) {
    order.push_back(&array);
  }
  std::ranges::sort(order, [](const HostArrayView* a, const HostArrayView* b) {
    const int64_t a_bytes = size_bytes(a->dtype);
    const int64_t b_bytes = size_bytes(b->dtype);
    return a_bytes != b_bytes ? a_bytes > b_bytes : a->name < b->name;
  });
  return order;
}

std::string header_of(const std::string& path, const std::vector<const HostArrayView*>& order,
                      const SafetensorsMetadata& metadata) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    json[std::string(kMetadataKey)] = metadata;
  }
  std::set<std::string_view> names = {kMetadataKey};
  size_t offset = 0;
  for (const HostArrayView* array : order) {
    if (!names.insert(array->name).second) {
      fail("cannot save {}: the tensor name '{}' is reserved or used twice", path, array->name);
    }
    // Not json[name]: ordered_json searches from the front for each key.
    json.get_ref<nlohmann::ordered_json::object_t&>().emplace_back(
        array->name, nlohmann::ordered_json{{"dtype", format_name(array->dtype)},
                                            {"shape", array->shape},
                                            {"data_offsets", {offset, offset + array->bytes.size()}}});
    offset += array->bytes.size();
  }
  std::string header;
  try {
    header = json.dump();
  } catch (const nlohmann::json::exception&) {
    fail("cannot save {}: a tensor name or metadata string is not UTF-8", path);
  }
  header.resize((header.size() + kLengthBytes - 1) / kLengthBytes * kLengthBytes, ' ');
  return header;
}

/// Replaces the digits of the digest in the header by those of the file.
void fill_in_digest(std::string& header, const std::vector<const HostArrayView*>& order) {
  const size_t begin = safetensors::find_digest(header);
  const size_t end = begin + safetensors::kDigestDigits;
  const uint64_t length = header.size();
  safetensors::Digest digest;
  digest.add(&length, kLengthBytes);
  digest.add(header.data(), begin);
  digest.add(header.data() + end, header.size() - end);
  for (const HostArrayView* array : order) {
    digest.add(array->bytes.data(), array->bytes.size());
  }
  header.replace(begin, safetensors::kDigestDigits, digest.digits());
}

void write(const std::string& path, const std::string& header, const std::vector<const HostArrayView*>& order) {
  AtomicFile file(path);
  const uint64_t length = header.size();
  file.write(&length, kLengthBytes);
  file.write(header);
  for (const HostArrayView* array : order) {
    file.write(array->bytes.data(), array->bytes.size());
  }
  file.commit();
}

}  // namespace

const HostArray* Safetensors::find(const std::string& name) const {
  const auto found = std::ranges::find(arrays, name, &HostArray::name);
  return found != arrays.end() ? &*found : nullptr;
}

Safetensors load_safetensors(const std::string& path) {
  const InputFile file = open_input(path);
  Header header = safetensors::read_header(file);
  Safetensors result;
  result.path = path;
  result.metadata = std::move(header.metadata);
  for (Entry& entry : header.entries) {
    HostArray array{.name = std::move(entry.name), .dtype = entry.dtype, .shape = std::move(entry.shape), .bytes = {}};
    array.bytes.resize(entry.end - entry.begin);
    file.read(array.bytes.data(), array.bytes.size(), header.data_begin + entry.begin);
    result.arrays.push_back(std::move(array));
  }
  return result;
}

SafetensorsMetadata load_safetensors_metadata(const std::string& path) {
  return safetensors::read_header(open_input(path)).metadata;
}

void save_safetensors(const std::string& path, std::span<const HostArrayView> arrays, const SafetensorsMetadata& metadata) {
  const std::vector<const HostArrayView*> order = stored_order(arrays);
  write(path, header_of(path, order, metadata), order);
}

void save_with_digest(const std::string& path, std::span<const HostArrayView> arrays, SafetensorsMetadata metadata) {
  const std::vector<const HostArrayView*> order = stored_order(arrays);
  metadata[std::string(safetensors::kDigestKey)] = std::string(safetensors::kDigestDigits, '0');
  std::string header = header_of(path, order, metadata);
  fill_in_digest(header, order);
  write(path, header, order);
}

}  // namespace residua
