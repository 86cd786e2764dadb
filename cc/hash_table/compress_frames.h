// SPDX-License-Identifier: Apache-2.0
// Snappy's format, for blocks of saved entries. A general compressor looks for repetition everywhere, which in entries is
// mostly in vain: the bytes of floats do not repeat, and it costs more than all else that a save does. What does repeat is
// what equals the entry before at the same place (frames, tags, lengths, untouched state) or the float before (zeros). So
// only that is looked for, and where the first entries of a block have too little of it, the block is left as it is: most
// of what is saved then is the eight bytes of each record's length, and looking for more costs as much as writing it.
#ifndef CC_HASH_TABLE_COMPRESS_FRAMES_H_
#define CC_HASH_TABLE_COMPRESS_FRAMES_H_

#include <cstddef>
#include <string_view>

namespace monolith {

// Writes `bytes` as one raw Snappy block (github.com/google/snappy, format_description.txt) to `out`, which has room for
// MostCompressedBytes; returns the end. It compresses well where `bytes` are frames of entries (record_frames.h), but may be
// any.
char* CompressFrames(std::string_view bytes, char* out);
size_t MostCompressedBytes(size_t bytes);

// What a block holds, if it holds it as it is: a view of the block. Else nothing.
std::string_view PlainBlock(std::string_view block);

}  // namespace monolith

#endif  // CC_HASH_TABLE_COMPRESS_FRAMES_H_
