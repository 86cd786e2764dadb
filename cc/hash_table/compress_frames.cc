// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/compress_frames.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cc/hash_table/record_frames.h"
#include "cc/hash_table/wire.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace monolith {
namespace {

constexpr size_t kFloatField = 5;     // bytes from one float of an entry to the next
constexpr size_t kFarthest = 0xFFFF;  // that a copy of three bytes reaches back
constexpr size_t kLeastRun = 8;       // equal bytes that are worth a copy and the end of a literal
constexpr size_t kMostCopied = 64;    // by one copy
constexpr size_t kCopyBytes = 3;
constexpr size_t kMostLiteralHeader = 5;
// So much of a block tells whether the rest repeats: where copies save less than a part of it, the block is one literal.
constexpr size_t kSample = 16 << 10;
constexpr size_t kLeastSaved = kSample / 8;

// One bit for every i in [0, 64): a[i] == b[i].
uint64_t EqualBytes(const char* a, const char* b) {
  uint64_t equal = 0;
#if defined(__SSE2__)
  for (int part = 0; part < 4; ++part) {
    const __m128i of_a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + 16 * part));
    const __m128i of_b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + 16 * part));
    equal |= static_cast<uint64_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(of_a, of_b))) << (16 * part);
  }
#else
  for (int i = 0; i < 64; ++i) equal |= uint64_t{a[i] == b[i]} << i;
#endif
  return equal;
}

// The first i in [begin, end) from which on kLeastRun bytes before `end` equal those `distance` before them; else `end`.
// Bytes up to `readable` may be looked at.
size_t FindRun(const char* bytes, size_t begin, size_t end, size_t readable, size_t distance) {
  constexpr size_t kWindow = 64, kStarts = kWindow - kLeastRun + 1;
  size_t at = begin;
  for (; at + kLeastRun <= end && at + kWindow <= readable; at += kStarts) {
    uint64_t runs = EqualBytes(bytes + at, bytes + at - distance);
    if (at + kWindow > end) runs &= (uint64_t{1} << (end - at)) - 1;
    for (size_t length = 1; length < kLeastRun; length *= 2) runs &= runs >> length;
    if (runs != 0) return at + __builtin_ctzll(runs);
  }
  for (size_t run = 0; at < end; ++at) {  // near the end of all, or too few bytes for a run
    run = bytes[at] == bytes[at - distance] ? run + 1 : 0;
    if (run == kLeastRun) return at + 1 - kLeastRun;
  }
  return end;
}

size_t RunEnd(const char* bytes, size_t at, size_t end, size_t distance) {
  for (; at + 8 <= end; at += 8) {
    uint64_t here, before;
    std::memcpy(&here, bytes + at, 8);
    std::memcpy(&before, bytes + at - distance, 8);
    if (here != before) break;
  }
  while (at < end && bytes[at] == bytes[at - distance]) ++at;
  return at;
}

class Compressor {
 public:
  // Requires: `out` has room for all that may come.
  Compressor(std::string_view bytes, char* out) : bytes_(bytes.data()), size_(bytes.size()), begin_(out), out_(out) {}

  // Goes on to `end`, with copies of what lies `distances` before, the first where it will do. 0: none.
  void GoOn(size_t begin, size_t end, size_t distance, size_t other) {
    while (distance != 0 && begin < end) {
      const size_t run = FindRun(bytes_, begin, end, size_, distance);
      if (run == end) break;
      if (other != 0) GoOn(begin, run, other, 0);
      begin = RunEnd(bytes_, run + kLeastRun, end, distance);
      Copy(run, begin, distance);
    }
    if (other != 0) GoOn(begin, end, other, 0);
  }

  char* Finish(size_t end) {
    Literal(end);
    return out_;
  }

  // How many bytes fewer there are than came, of the first `end`, if all after the last copy go as they are.
  size_t Saved(size_t end) const {
    const size_t used = out_ - begin_ + (end - written_);
    return end > used ? end - used : 0;
  }

  // All of it as it is.
  char* FinishPlainly() {
    written_ = 0;
    out_ = begin_;
    return Finish(size_);
  }

 private:
  // Up to `end`, which nothing has been copied to.
  void Literal(size_t end) {
    const size_t size = end - written_;
    if (size == 0) return;
    const size_t last = size - 1;
    if (last < 60) {
      *out_++ = static_cast<char>(last << 2);
    } else {
      char* const tag = out_++;
      int more = 0;
      for (size_t left = last; left != 0; left >>= 8, ++more) *out_++ = static_cast<char>(left);
      *tag = static_cast<char>((59 + more) << 2);
    }
    std::memcpy(out_, bytes_ + written_, size);
    out_ += size;
    written_ = end;
  }

  void Copy(size_t begin, size_t end, size_t distance) {
    Literal(begin);
    while (begin < end) {
      const size_t size = std::min(end - begin, kMostCopied);
      *out_++ = static_cast<char>((size - 1) << 2 | 2);
      *out_++ = static_cast<char>(distance);
      *out_++ = static_cast<char>(distance >> 8);
      begin += size;
    }
    written_ = end;
  }

  const char* const bytes_;
  const size_t size_;
  char* const begin_;
  char* out_;
  size_t written_ = 0;  // of the bytes, how many are in `out`
};

// Where the frame at `begin` ends; the end of the bytes if it does not end there.
size_t FrameEnd(std::string_view bytes, size_t begin) {
  const size_t left = bytes.size() - begin;
  if (left < kFrameHeader + kFrameFooter) return bytes.size();
  uint64_t payload;
  std::memcpy(&payload, bytes.data() + begin, sizeof(payload));
  if (payload > left - kFrameHeader - kFrameFooter) return bytes.size();
  return begin + kFrameHeader + payload + kFrameFooter;
}

}  // namespace

size_t MostCompressedBytes(size_t bytes) {
  // A copy and the header of the literal after it are no longer than what is copied, so all of it costs one header at most.
  static_assert(kCopyBytes + kMostLiteralHeader <= kLeastRun, "");
  return wire::kMostVarint + kMostLiteralHeader + bytes;
}

char* CompressFrames(std::string_view bytes, char* out) {
  Compressor compressor(bytes, wire::PutVarint(out, bytes.size()));
  size_t before = 0;
  for (size_t begin = 0, end; begin < bytes.size(); begin = end) {
    end = FrameEnd(bytes, begin);
    const size_t distance = begin - before <= kFarthest ? begin - before : 0;
    // Not so far back that it would be before the first byte.
    const size_t first = std::min(end, std::max(begin, kFloatField));
    compressor.GoOn(first, end, distance, kFloatField);
    if (begin < kSample && end >= kSample && compressor.Saved(end) < kLeastSaved) return compressor.FinishPlainly();
    before = begin;
  }
  return compressor.Finish(bytes.size());
}

std::string_view PlainBlock(std::string_view block) {
  wire::Reader reader(block);
  uint64_t size = 0;
  if (!reader.Varint(&size) || reader.Done() || size == 0) return {};
  reader.Pass(1);
  std::string_view rest = reader.Rest();
  const auto tag = static_cast<uint8_t>(rest.data()[-1]);
  uint64_t last = tag >> 2;
  if ((tag & 3) != 0) return {};
  if (last >= 60) {
    const size_t wide = last - 59;
    if (rest.size() < wide) return {};
    last = 0;
    std::memcpy(&last, rest.data(), wide);  // little endian, as all that this library reads and writes
    rest.remove_prefix(wide);
  }
  return last + 1 == size && rest.size() == size ? rest : std::string_view();
}

}  // namespace monolith
