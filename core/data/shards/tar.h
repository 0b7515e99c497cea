#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/io/input_file.h"

namespace residua {

/// A tar file is a sequence of blocks of this size.
inline constexpr uint64_t kTarBlock = 512;

inline constexpr uint64_t padded_to_tar_blocks(uint64_t bytes) { return (bytes + kTarBlock - 1) / kTarBlock * kTarBlock; }

/// A regular file in a tar file.
struct TarMember {
  std::string name;
  uint64_t offset = 0;  // of its first byte; its header is the block before
  uint64_t size = 0;
};

/// Lists the regular files of a tar file (ustar, pax or GNU) in order, by its headers alone. Folders are left out. A tar file
/// that is damaged in any way that its headers show fails with Error, which names the file and the byte: a wrong checksum, a
/// member that reaches past the end, padding that is not zero, a missing end mark, more zeros at the end than tar programs
/// write. Links, devices and sparse files fail too, and so do names that are absolute or contain "..". Format:
/// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html
std::vector<TarMember> list_tar(const InputFile& file);

/// Whether `block` is a sound header of a member of this name and size.
bool is_tar_header(std::span<const uint8_t> block, const std::string& name, uint64_t size);

/// Appends a ustar header, the bytes and their padding. The header depends on the name and the size alone: its time and its
/// owner are 0. Fails with Error if the name has more than 100 bytes or the size more than 8 GiB.
void append_tar_member(std::string& tar, const std::string& name, std::span<const uint8_t> bytes);

/// The blocks that end a tar file.
std::string tar_end();

}  // namespace residua
