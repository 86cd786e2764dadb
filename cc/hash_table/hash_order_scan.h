// SPDX-License-Identifier: Apache-2.0
// A walk through a table that can be left and taken up again at any time.
//
// A fid's hash (Mix64) is a bijection, so it is a position of its own on a line of 2^64, and unlike a place in the index
// it never changes. Part p of n is the p-th of n equal stretches of that line; the index keeps its keys by hash, so a
// walk along the line goes through the buckets front to back. It keeps writers out of a shard for a bucket at a time.
#ifndef CC_HASH_TABLE_HASH_ORDER_SCAN_H_
#define CC_HASH_TABLE_HASH_ORDER_SCAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cc/hash_table/entry_codec.h"
#include "cc/hash_table/table_storage.h"

namespace monolith {

// EmbeddingTable::Scan; `table` is the name that messages use. The offset is the distance from the start of the part to
// the first hash not yet seen, or 2^64 - 1 at the end. (A single part is 2^64 long, one more than there are offsets:
// its last two hashes count as one place to go on from.)
//
// Requires: the caller is inside an epoch guard of the storage.
void ScanInHashOrder(const std::string& table, const EntryCodec& codec, TableStorage* storage, int part, int num_parts,
                     int64_t limit, uint64_t* offset, std::vector<std::string>* entries);

}  // namespace monolith

#endif  // CC_HASH_TABLE_HASH_ORDER_SCAN_H_
