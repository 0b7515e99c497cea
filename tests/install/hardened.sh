#!/usr/bin/env bash
# hardened.sh FILE...: fails unless each program has what Debian's hardened builds have: a stack protector, checked library calls,
# a position-independent layout, and relocations that are read-only once they are bound, which is at the start.
set -euo pipefail
missing=()
for file in "$@"; do
  header=$(readelf -hW "$file")
  [[ $header =~ Type:\ +DYN ]] || missing+=("$file: PIE")
  [[ $(readelf -lW "$file") == *GNU_RELRO* ]] || missing+=("$file: RELRO")
  [[ $(readelf -dW "$file") =~ BIND_NOW|FLAGS_1.*NOW ]] || missing+=("$file: BIND_NOW")
  symbols=$(readelf --dyn-syms -W "$file")
  [[ $symbols == *__stack_chk_fail* ]] || missing+=("$file: stack protector")
  [[ $symbols =~ __[a-z]+_chk@ ]] || missing+=("$file: _FORTIFY_SOURCE")
  # Programs have as many endbr64 instructions as functions that a pointer can reach.
  if [[ $header == *X86-64* ]] && (($(LC_ALL=C grep -aoP '\xf3\x0f\x1e\xfa' "$file" | wc -l) < 100)); then
    missing+=("$file: -fcf-protection")
  fi
done
if ((${#missing[@]})); then
  printf 'hardened: missing in %s\n' "${missing[@]}" >&2
  exit 1
fi
