#pragma once

namespace residua {

/// Sets of vector instructions. Files in a folder `isa` are compiled once for each of them, with the macro RESIDUA_ISA as its
/// name, in the namespace of that name.
enum class Isa { baseline, avx2, avx512, avx512bf16 };

/// The best instruction set that this processor has and this build includes. The environment variable RESIDUA_ISA (baseline,
/// avx2, avx512 or avx512bf16) lowers it.
Isa isa();
const char* isa_name();

}  // namespace residua
