#pragma once

#include "core/cpu/parallel.h"
#include "core/cpu/scratch.h"
#include "core/cpu/vec.h"

/// Loops over [rows, channels] with per-channel parameters or sums. Several rows are treated as one wide row whose length is a
/// multiple of 16 elements, whatever the number of channels. So no row has a tail, small channel counts fill whole registers,
/// and the mask bits of every wide row start at a whole byte. For files in core/cpu/isa.
namespace residua::cpu::RESIDUA_ISA {
namespace {

constexpr int64_t kTallWidth = 64;   // elements
constexpr int64_t kBlockRows = 128;  // of a tile, if a wide row has at most kTallWidth elements
constexpr int64_t kNarrowRows = 4;   // of a tile, if it has more: the prefetcher follows that many streams
constexpr int kBlockVectors = 4;

struct WideRows {
  int64_t channels;
  int64_t width;  // elements: channels times the rows in a wide row
  int64_t count;  // whole wide rows
  int64_t tail;   // elements after the whole wide rows, fewer than width

  WideRows(int64_t rows, int64_t channel_count) : channels(channel_count), width(16), count(0), tail(0) {
    if (channels > 0) {
      const int64_t twos = channels & -channels;  // the largest power of two that divides the channels
      int64_t repeat = twos < 16 ? 16 / twos : 1;
      while (repeat * channels < kTallWidth) {
        repeat *= 2;
      }
      width = repeat * channels;
      count = rows / repeat;
      tail = rows * channels - count * width;
    }
  }

  /// Fills table[width] with the value for each column's channel.
  template <class Value>
  void fill(float* table, const Value& value) const {
    for (int64_t c = 0; c < channels; ++c) {
      table[c] = value(c);
    }
    for (int64_t j = channels; j < width; ++j) {
      table[j] = table[j - channels];
    }
  }

  int64_t grain() const { return (8192 + width - 1) / width; }
  /// The elements after wide row `end` that belong to a piece that ends there.
  int64_t tail_at(int64_t end) const { return end == count ? tail : 0; }
  /// Calls body(begin, end, tail) for pieces of the wide rows. `tail` is the number of further elements after `end` that belong
  /// to the piece.
  template <class Body>
  void parallel(const Body& body) const {
    parallel_ranges(count, grain(), [&](int, int64_t begin, int64_t end) { body(begin, end, tail_at(end)); });
  }
};

/// Calls tile(first, column, rows, extent) for tiles that together cover wide rows [begin, end) and the `tail` elements after
/// them. A tile is `rows` wide rows high and starts at element `first`; in each row it covers `extent` from `column` on. All
/// its rows have the same columns, so their parameters and sums stay in registers.
template <class Tile>
RESIDUA_INLINE void for_tiles(const WideRows& wide, int64_t begin, int64_t end, int64_t tail, Tile&& tile) {
  const int64_t height = wide.width <= kTallWidth ? kBlockRows : kNarrowRows;
  for (int64_t row = begin; row < end; row += height) {
    const int64_t rows = row + height < end ? height : end - row;
    for_blocks<kBlockVectors>(wide.width,
                              [&](int64_t column, auto extent) { tile(row * wide.width + column, column, rows, extent); });
  }
  for_blocks<kBlockVectors>(tail,
                            [&](int64_t column, auto extent) { tile(end * wide.width + column, column, int64_t{1}, extent); });
}

/// Computes `Sums` column sums at once: in floats over a block of rows, then in doubles over the blocks.
template <int Sums>
class ColumnSums {
 public:
  /// Also allocates `tables` tables with one float per column, as scratch memory for the caller.
  ColumnSums(const WideRows& wide, int64_t tables) : wide_(wide), parts_(parts_of_sums(Sums * wide.width)) {
    const int64_t size = parts_ * Sums * wide.width;
    const int64_t bytes =
        size * static_cast<int64_t>(sizeof(double) + sizeof(float)) + tables * wide.width * int64_t{sizeof(float)};
    totals_ = static_cast<double*>(scratch(bytes));
    blocks_ = reinterpret_cast<float*>(totals_ + size);
    tables_ = blocks_ + size;
  }

  float* table(int64_t number) const { return tables_ + number * wide_.width; }

  /// Calls tile(first, column, rows, extent, sums), which adds to the registers sums[s * extent.kVectors + v].
  template <class Tile>
  void run(const Tile& tile) {
    const int64_t size = Sums * wide_.width;
    parts_ = parallel_sums(wide_.count, wide_.grain(), size, [=, this](int, int part, int64_t begin, int64_t end) {
      const WideRows wide = wide_;
      const int64_t tail = wide.tail_at(end);
      double* totals = totals_ + part * size;
      float* block = blocks_ + part * size;
      std::memset(totals, 0, static_cast<size_t>(size) * sizeof(double));
      for (bool more = true; more;) {
        const int64_t block_end = begin + kBlockRows < end ? begin + kBlockRows : end;
        std::memset(block, 0, static_cast<size_t>(size) * sizeof(float));
        for_tiles(wide, begin, block_end, block_end == end ? tail : 0,
                  [=](int64_t first, int64_t column, int64_t rows, auto extent) {
                    constexpr int kVectors = decltype(extent)::kVectors;
                    Floats sums[Sums * kVectors];
                    for (int s = 0; s < Sums; ++s) {
                      for (int v = 0; v < kVectors; ++v) {
                        sums[s * kVectors + v] = load(block + s * wide.width + column + v * kLanes);
                      }
                    }
                    tile(first, column, rows, extent, sums);
                    for (int s = 0; s < Sums; ++s) {
                      for (int v = 0; v < kVectors; ++v) {
                        store(block + s * wide.width + column + v * kLanes, sums[s * kVectors + v]);
                      }
                    }
                  });
        for (int64_t j = 0; j < size; ++j) {
          totals[j] += static_cast<double>(block[j]);
        }
        begin = block_end;
        more = begin < end;
      }
    });
  }

  /// Sum `s` of a channel, added in a fixed order.
  double total(int s, int64_t channel) const {
    double value = 0;
    for (int64_t part = 0; part < parts_; ++part) {
      for (int64_t j = channel; j < wide_.width; j += wide_.channels) {
        value += totals_[(part * Sums + s) * wide_.width + j];
      }
    }
    return value;
  }

 private:
  WideRows wide_;
  int64_t parts_;
  double* totals_;
  float* blocks_;
  float* tables_;
};

}  // namespace
}  // namespace residua::cpu::RESIDUA_ISA
