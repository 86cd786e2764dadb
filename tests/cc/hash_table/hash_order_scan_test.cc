// SPDX-License-Identifier: Apache-2.0
// Walking through a table piece by piece, alone and beside writers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <thread>

#include "cc/hash_table/entry_dump.h"
#include "cc/hash_table/hashing.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;
using namespace testing;  // NOLINT: the fixtures of this suite

std::unique_ptr<EmbeddingTable> TableOf(const std::vector<int64_t>& fids) {
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(1)}));
  Assign(table.get(), fids, std::vector<float>(fids.size(), 1));
  return table;
}

int64_t FidOf(const std::string& entry) {
  EntryDump dump;
  EXPECT_TRUE(ParseEntryDump(entry, &dump));
  return dump.fid;
}

// The fids of one call, which it moves on.
std::vector<int64_t> Piece(const EmbeddingTable& table, int part, int num_parts, int64_t limit, uint64_t* offset) {
  std::vector<std::string> entries;
  table.Scan(part, num_parts, limit, offset, &entries);
  std::vector<int64_t> fids;
  for (const std::string& entry : entries) fids.push_back(FidOf(entry));
  return fids;
}

std::vector<int64_t> Walk(const EmbeddingTable& table, int num_parts, int64_t limit) {
  std::vector<int64_t> fids;
  for (int part = 0; part < num_parts; ++part) {
    uint64_t offset = 0;
    std::vector<int64_t> piece;
    do {
      piece = Piece(table, part, num_parts, limit, &offset);
      fids.insert(fids.end(), piece.begin(), piece.end());
    } while (static_cast<int64_t>(piece.size()) == limit);
  }
  return fids;
}

std::vector<int64_t> SomeFids(int64_t n) {
  std::vector<int64_t> fids;
  for (int64_t i = 0; i < n; ++i) fids.push_back(i % 2 == 0 ? i : -i * 977);
  return fids;
}

// The fid whose hash is `hash`: Mix64 backwards.
int64_t FidOfHash(uint64_t hash) {
  const auto inverse = [](uint64_t odd) {
    uint64_t x = odd;
    for (int i = 0; i < 6; ++i) x *= 2 - odd * x;  // Newton: each round doubles the bits that are right
    return x;
  };
  hash ^= hash >> 33;
  hash *= inverse(0xc4ceb9fe1a85ec53);
  hash ^= hash >> 33;
  hash *= inverse(0xff51afd7ed558ccd);
  hash ^= hash >> 33;
  return static_cast<int64_t>(hash);
}

TEST(HashOrderScanTest, EveryEntryComesOnceWhateverThePieces) {
  for (const int64_t n : {0, 1, 3, 500, 5000}) {
    std::vector<int64_t> fids = SomeFids(n);
    auto table = TableOf(fids);
    std::sort(fids.begin(), fids.end());
    for (const int num_parts : {1, 2, 3, 7, 16, 100}) {
      for (const int64_t limit : {int64_t{1}, int64_t{7}, n + 1}) {
        if (n / limit > 2000) continue;
        std::vector<int64_t> found = Walk(*table, num_parts, limit);
        std::sort(found.begin(), found.end());
        EXPECT_EQ(found, fids) << num_parts << " parts, limit " << limit;
      }
    }
  }
}

TEST(HashOrderScanTest, TheOrderIsThatOfTheHashes) {
  const std::vector<int64_t> found = Walk(*TableOf(SomeFids(3000)), 5, 11);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end(), [](int64_t a, int64_t b) {
    return Mix64(static_cast<uint64_t>(a)) < Mix64(static_cast<uint64_t>(b));
  }));
}

TEST(HashOrderScanTest, EntriesAreWholeAndLookLikeSavedOnes) {
  TableConfig config = MakeConfig({DefaultSlice(2, "adam"), MakeSlice(3)});
  auto table = NewEmbeddingTable(config);
  Optimize(table.get(), {5, 6}, std::vector<float>(10, 1), {0.1f, 0.2f}, 77);
  std::vector<std::string> entries;
  uint64_t offset = 0;
  table->Scan(0, 1, 10, &offset, &entries);
  EXPECT_THAT(entries, UnorderedElementsAreArray(Dump(table.get())));
}

TEST(HashOrderScanTest, AWalkGoesOnThroughGrowth) {
  const std::vector<int64_t> fids = SomeFids(200);
  auto table = TableOf(fids);
  std::vector<int64_t> found;
  uint64_t offset = 0;
  for (int64_t next = 1 << 20, more = true; more; next += 1000) {
    const std::vector<int64_t> piece = Piece(*table, 0, 1, 20, &offset);
    more = piece.size() == 20;
    found.insert(found.end(), piece.begin(), piece.end());
    for (int64_t i = 0; i < 1000 && table->size() < 40000; ++i) Assign(table.get(), {next + i}, {2});
  }
  std::map<int64_t, int> times;
  for (const int64_t fid : found) ++times[fid];
  for (const int64_t fid : fids) EXPECT_EQ(times[fid], 1) << fid;
  for (const auto& [fid, n] : times) EXPECT_EQ(n, 1) << fid;
}

TEST(HashOrderScanTest, BesideWritersWhatStaysComesOnce) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  constexpr int64_t kChanging = 3000;
#else
  constexpr int64_t kChanging = 60000;
#endif
  const std::vector<int64_t> fids = SomeFids(1000);
  TableConfig config = MakeConfig({MakeSlice(4)});
  auto table = NewEmbeddingTable(config);
  Assign(table.get(), fids, std::vector<float>(4 * fids.size(), 1));
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int w = 0; w < 2; ++w) {
    writers.emplace_back([&, w] {
      for (int64_t i = 0; i < kChanging; ++i) {
        const int64_t fid = (int64_t{1} << 40) + 2 * i + w;
        AssignAdd(table.get(), {fid, fids[i % fids.size()]}, std::vector<float>(8, 1));
      }
    });
  }
  std::thread closer([&] {
    for (auto& writer : writers) writer.join();
    stop = true;
  });
  do {
    std::map<int64_t, int> times;
    for (int part = 0; part < 3; ++part) {
      uint64_t offset = 0;
      std::vector<std::string> entries;
      do {
        entries.clear();
        table->Scan(part, 3, 64, &offset, &entries);
        for (const std::string& entry : entries) {
          EntryDump dump;
          ASSERT_TRUE(ParseEntryDump(entry, &dump));
          ++times[dump.fid];
          for (const float v : dump.values) ASSERT_EQ(v, dump.values[0]) << "a torn read";
        }
      } while (entries.size() == 64);
    }
    for (const int64_t fid : fids) ASSERT_EQ(times[fid], 1) << fid;
    for (const auto& [fid, n] : times) ASSERT_EQ(n, 1) << fid;
  } while (!stop);
  closer.join();
}

TEST(HashOrderScanTest, TheLastHashEndsTheWalk) {
  constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();
  ASSERT_EQ(Mix64(static_cast<uint64_t>(FidOfHash(kLast))), kLast);
  auto table = TableOf({FidOfHash(0), FidOfHash(kLast)});
  EXPECT_THAT(Walk(*table, 1, 1), ElementsAre(FidOfHash(0), FidOfHash(kLast)));
  EXPECT_THAT(Walk(*table, 2, 1), ElementsAre(FidOfHash(0), FidOfHash(kLast)));
  uint64_t offset = 0;
  EXPECT_EQ(Piece(*table, 0, 1, 2, &offset).size(), 2u);
  EXPECT_THAT(Piece(*table, 0, 1, 2, &offset), IsEmpty());
}

TEST(HashOrderScanTest, PartsMeetWithoutAGap) {
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  auto table = TableOf({FidOfHash(kHalf - 1), FidOfHash(kHalf)});
  uint64_t offset = 0;
  EXPECT_THAT(Piece(*table, 0, 2, 9, &offset), ElementsAre(FidOfHash(kHalf - 1)));
  offset = 0;
  EXPECT_THAT(Piece(*table, 1, 2, 9, &offset), ElementsAre(FidOfHash(kHalf)));
}

TEST(HashOrderScanTest, WrongArgumentsAreNamed) {
  auto table = TableOf({1});
  const auto error = [&](int part, int num_parts, int64_t limit, uint64_t offset) -> std::string {
    try {
      Piece(*table, part, num_parts, limit, &offset);
    } catch (const TableError& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_THAT(error(3, 3, 1, 0), HasSubstr("table 'table': shard_idx is 3 of num_shards 3"));
  EXPECT_THAT(error(0, 0, 1, 0), HasSubstr("shard_idx is 0 of num_shards 0"));
  EXPECT_THAT(error(0, 1, 0, 0), HasSubstr("limit is 0; ask for at least 1 entry"));
  EXPECT_THAT(error(0, 4, 1, uint64_t{1} << 62), HasSubstr("offset 4611686018427387904 lies beyond shard_idx 0 of 4"));
}

}  // namespace
}  // namespace monolith
