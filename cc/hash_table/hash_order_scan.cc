// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/hash_order_scan.h"

#include <algorithm>
#include <limits>
#include <mutex>

#include "cc/hash_table/hashing.h"

namespace monolith {
namespace {

constexpr uint64_t kAtEnd = std::numeric_limits<uint64_t>::max();
constexpr int kHomeBits = 64 - kIndexShardBits;

// Where part `part` of the line of hashes begins, as a number up to 2^64.
unsigned __int128 PartBegin(int part, int num_parts) {
  return (static_cast<unsigned __int128>(part) << 64) / static_cast<unsigned>(num_parts);
}

// An entry as it was when no writer was in its shard.
struct Copied {
  uint64_t hash;
  int64_t fid;
  uint32_t stamp;
  std::vector<char> bytes;
};

class Scanner {
 public:
  Scanner(const EntryCodec& codec, TableStorage* storage) : codec_(codec), storage_(*storage) {}

  // Copies what lies in the home of `hash`, from `hash` on up to `last`: the lowest `limit` hashes of it, in order.
  // Returns the smallest hash of the next home; 0 if there is none.
  uint64_t CopyHome(uint64_t hash, uint64_t last, int64_t limit, std::vector<Copied>* copied) {
    TableStorage::Shard& shard = storage_.shard(static_cast<uint32_t>(hash >> kHomeBits));
    keys_.clear();
    const std::lock_guard<std::mutex> no_writer(shard.mutex);
    const Bucket* home = shard.index.HomeOf(hash << kIndexShardBits);
    shard.index.ForEachAtHome(home, [&](int64_t fid, uint32_t entry) {
      const uint64_t position = Mix64(static_cast<uint64_t>(fid));
      if (position >= hash && position <= last) keys_.push_back({position, fid, entry});
    });
    std::sort(keys_.begin(), keys_.end(), [](const Key& a, const Key& b) { return a.hash < b.hash; });
    for (size_t i = 0; i < keys_.size() && static_cast<int64_t>(i) < limit; ++i) {
      const char* at = storage_.slab().At(keys_[i].entry);
      copied->push_back({keys_[i].hash, keys_[i].fid,
                         storage_.slab().StampAt(keys_[i].entry)->load(std::memory_order_relaxed),
                         std::vector<char>(at, at + codec_.entry_bytes())});
    }
    const uint64_t next_home = shard.index.HashAfterHome(home);
    const uint64_t shard_begin = hash >> kHomeBits << kHomeBits;
    // What the index calls a hash lacks the bits that choose the shard and has zeros at its end.
    if (next_home != 0) return shard_begin + ((next_home - 1) >> kIndexShardBits) + 1;
    return shard_begin + (uint64_t{1} << kHomeBits);
  }

  std::string Serialize(const Copied& entry) const {
    return codec_.Saved(entry.fid, entry.bytes.data(), entry.bytes.data() + codec_.value_bytes(), entry.stamp);
  }

 private:
  struct Key {
    uint64_t hash;
    int64_t fid;
    uint32_t entry;
  };

  const EntryCodec& codec_;
  TableStorage& storage_;
  std::vector<Key> keys_;
};

void CheckArguments(const std::string& table, int part, int num_parts, int64_t limit) {
  if (num_parts < 1 || part < 0 || part >= num_parts) {
    throw TableError("table '" + table + "': shard_idx is " + std::to_string(part) + " of num_shards " +
                     std::to_string(num_parts) + "; it must lie in [0, num_shards).");
  }
  if (limit < 1) {
    throw TableError("table '" + table + "': limit is " + std::to_string(limit) + "; ask for at least 1 entry.");
  }
}

}  // namespace

void ScanInHashOrder(const std::string& table, const EntryCodec& codec, TableStorage* storage, int part, int num_parts,
                     int64_t limit, uint64_t* offset, std::vector<std::string>* entries) {
  CheckArguments(table, part, num_parts, limit);
  const uint64_t first = static_cast<uint64_t>(PartBegin(part, num_parts));
  const uint64_t last = static_cast<uint64_t>(PartBegin(part + 1, num_parts) - 1);
  if (*offset == kAtEnd) return;
  if (*offset > last - first) {
    throw TableError("table '" + table + "': offset " + std::to_string(static_cast<int64_t>(*offset)) +
                     " lies beyond shard_idx " + std::to_string(part) + " of " + std::to_string(num_parts) +
                     "; begin with 0 and go on with what the last call returned.");
  }
  Scanner scanner(codec, storage);
  std::vector<Copied> copied;
  uint64_t hash = first + *offset;
  while (true) {
    copied.clear();
    const uint64_t next = scanner.CopyHome(hash, last, limit, &copied);
    for (const Copied& entry : copied) entries->push_back(scanner.Serialize(entry));
    limit -= static_cast<int64_t>(copied.size());
    if (limit == 0) {
      *offset = copied.back().hash == last ? kAtEnd : copied.back().hash + 1 - first;
      return;
    }
    if (next == 0 || next > last) break;
    hash = next;
  }
  *offset = kAtEnd;
}

}  // namespace monolith
