#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace residua::test {

/// Reads an untrusted file. It may throw residua::Error and nothing else, and returns where the reader takes the bytes.
using FuzzTarget = void (*)(std::span<const uint8_t> bytes);

/// A namespace-scope object of this type in tests/fuzz/targets/NAME.cpp makes a target, with the seeds of
/// tests/fuzz/corpus/NAME.
struct RegisterFuzzTarget {
  RegisterFuzzTarget(const char* name, FuzzTarget target);
};

const std::map<std::string, FuzzTarget>& fuzz_targets();

/// Calls the target; an Error is what a bad file is for.
void run(FuzzTarget target, std::span<const uint8_t> bytes);

/// Ends the process with a message, which fuzzers take for a finding.
void require(bool holds, const char* what);

/// The path of a file in a folder of this process, in memory where the system can.
std::string fuzz_file(const std::string& name);
/// Writes it there, and returns its path.
std::string fuzz_file(const std::string& name, std::span<const uint8_t> bytes);
std::string fuzz_file(const std::string& name, const std::string& text);

}  // namespace residua::test
