// SPDX-License-Identifier: Apache-2.0
// What a growing index looks like from inside: a line of CSV for every `step` keys.
//
//   index_shape KEYS STEP
//
// keys, bytes of the index a key, load of its cells, and the share of the keys whose lookup ends in the first bucket, in
// the second, and further on.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cc/hash_table/table_storage.h"

namespace {

using monolith::FidIndex;
using monolith::HashedFid;
using monolith::HashFid;
using monolith::TableStorage;

void Insert(TableStorage* storage, int64_t fid) {
  const HashedFid hash = HashFid(fid);
  TableStorage::Shard& shard = storage->shard(hash.shard);
  const uint64_t num_keys = shard.num_keys.load();
  bool inserted = false;
  shard.index.Insert(fid, hash.home, static_cast<uint32_t>(fid + 1), num_keys + 1, &inserted);
  shard.num_keys.store(num_keys + 1);
}

void Print(TableStorage* storage, int64_t keys) {
  uint64_t index_bytes = 0, buckets = 0;
  for (int s = 0; s < monolith::kNumIndexShards; ++s) {
    index_bytes += storage->shard(s).index.Bytes();
    buckets += storage->shard(s).index.Current()->num_buckets;
  }
  uint64_t probes[3] = {0, 0, 0};
  for (int64_t fid = 0; fid < keys; ++fid) {
    const HashedFid hash = HashFid(fid);
    const FidIndex::Place place = storage->shard(hash.shard).index.LocateNow(fid, hash.home);
    const int64_t further = place.bucket - place.home;
    ++probes[further < 2 ? further : 2];
  }
  const double all = static_cast<double>(keys);
  std::printf("%lld,%.4f,%.4f,%.5f,%.5f,%.5f\n", static_cast<long long>(keys), index_bytes / all,
              all / (buckets * monolith::kCellsPerBucket), probes[0] / all, probes[1] / all, probes[2] / all);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || std::atoll(argv[1]) < 1 || std::atoll(argv[2]) < 1) {
    std::fprintf(stderr, "usage: index_shape KEYS STEP, both at least 1\n");
    return 2;
  }
  monolith::EpochManager epochs;
  TableStorage storage(8, &epochs);
  const monolith::EpochManager::Guard guard(epochs);
  std::printf("keys,bytes_per_key,load,first,second,further\n");
  for (int64_t keys = 1; keys <= std::atoll(argv[1]); ++keys) {
    Insert(&storage, keys - 1);
    if (keys % std::atoll(argv[2]) == 0) Print(&storage, keys);
  }
}
