// SPDX-License-Identifier: Apache-2.0
// Growth stops no reader: what a reader needs never changes under it, and what it does needs no mutex.
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <numeric>
#include <vector>

#include "cc/hash_table/epoch.h"
#include "cc/hash_table/table_storage.h"

namespace monolith {
namespace {

class FidIndexGrowthTest : public ::testing::Test {
 protected:
  // Inserts `n` more keys with entries 1, 2, ...
  void Fill(size_t n) {
    for (size_t end = keys_.size() + n; keys_.size() < end;) {
      const auto fid = static_cast<int64_t>(keys_.size());
      bool inserted = false;
      index_.Insert(fid, HashFid(fid).home, static_cast<uint32_t>(fid + 1), keys_.size() + 1, &inserted);
      ASSERT_TRUE(inserted);
      keys_.push_back(fid);
    }
  }

  void FillUntilItGrows() {
    for (const FidIndex::Array* old = index_.Current(); index_.Current() == old;) Fill(1);
  }

  FidIndex::Sighting See(const FidIndex::Array& array, int64_t fid) const {
    return FidIndex::Find(array, array.HomeOf(HashFid(fid).home), fid);
  }

  EpochManager epochs_;
  FidIndex index_{0, &epochs_};
  std::vector<int64_t> keys_;
};

TEST_F(FidIndexGrowthTest, TheOldArrayGoesOnAnsweringAndIsNotBelieved) {
  const EpochManager::Guard guard(epochs_);  // what was current when it began stays readable
  Fill(2000);
  const FidIndex::Array& old = *index_.Current();
  const size_t before = keys_.size();
  FillUntilItGrows();
  for (size_t i = 0; i < before; ++i) {
    const FidIndex::Sighting sighting = See(old, keys_[i]);
    ASSERT_EQ(sighting.entry, i + 1) << "fid " << keys_[i];
    ASSERT_FALSE(sighting.IsValid()) << "a change after growth would go unseen";
  }
  for (size_t i = 0; i < keys_.size(); ++i) {
    const FidIndex::Sighting sighting = See(*index_.Current(), keys_[i]);
    ASSERT_EQ(sighting.entry, i + 1) << "fid " << keys_[i];
    ASSERT_TRUE(sighting.IsValid());
  }
  for (int64_t fid = -1; fid > -500; --fid) ASSERT_EQ(See(*index_.Current(), fid).entry, FidIndex::kNoEntry);
}

TEST_F(FidIndexGrowthTest, AChangeInvalidatesWhatWasSeenBeforeIt) {
  const EpochManager::Guard guard(epochs_);
  Fill(1);
  const FidIndex::Sighting before = See(*index_.Current(), 0);
  EXPECT_TRUE(before.IsValid());
  {
    const FidIndex::Change change(index_.HomeOf(HashFid(0).home));
    EXPECT_FALSE(before.IsValid()) << "during the change";
  }
  EXPECT_FALSE(before.IsValid()) << "after the change";
  EXPECT_TRUE(See(*index_.Current(), 0).IsValid());
}

TEST_F(FidIndexGrowthTest, AnErasedKeyIsAbsentAndItsSightingInvalid) {
  const EpochManager::Guard guard(epochs_);
  Fill(300);
  const FidIndex::Sighting before = See(*index_.Current(), 7);
  index_.Erase(index_.LocateNow(7, HashFid(7).home));
  EXPECT_FALSE(before.IsValid());
  EXPECT_EQ(See(*index_.Current(), 7).entry, FidIndex::kNoEntry);
  for (size_t i = 0; i < keys_.size(); ++i) {
    EXPECT_EQ(See(*index_.Current(), keys_[i]).entry, i == 7 ? FidIndex::kNoEntry : i + 1);
  }
}

TEST_F(FidIndexGrowthTest, ThousandsOfKeysWithOneHomeOverflowAndComeBack) {
  // All keys of one home: the overflow counts stick at their highest, and growth has to find room.
  const EpochManager::Guard guard(epochs_);
  std::vector<int64_t> crowd;
  for (int64_t fid = 0; crowd.size() < 600; ++fid) {
    if (HashFid(fid).home >> 54 == 0) crowd.push_back(fid);
  }
  for (size_t i = 0; i < crowd.size(); ++i) {
    bool inserted = false;
    index_.Insert(crowd[i], HashFid(crowd[i]).home, static_cast<uint32_t>(i + 1), i + 1, &inserted);
  }
  for (size_t i = 0; i < crowd.size(); ++i) EXPECT_EQ(See(*index_.Current(), crowd[i]).entry, i + 1);
  for (size_t i = 0; i < crowd.size(); i += 2) {
    index_.Erase(index_.LocateNow(crowd[i], HashFid(crowd[i]).home));
  }
  for (size_t i = 0; i < crowd.size(); ++i) EXPECT_EQ(See(*index_.Current(), crowd[i]).entry, i % 2 == 0 ? 0 : i + 1);
}

TEST(ReadersNeedNoMutexTest, AShardWithAWriterInsideIsRead) {
  EpochManager epochs;
  TableStorage storage(8, &epochs);
  TableStorage::Shard& shard = storage.shard(HashFid(5).shard);
  const EpochManager::Guard guard(epochs);
  const std::lock_guard<std::mutex> writer(shard.mutex);  // as growth, an eviction or a batch holds it
  bool inserted = false;
  shard.index.Insert(5, HashFid(5).home, 1, 1, &inserted);
  const FidIndex::Sighting sighting = FidIndex::Find(*shard.index.Current(), shard.index.HomeOf(HashFid(5).home), 5);
  EXPECT_EQ(sighting.entry, 1u);
  EXPECT_TRUE(sighting.IsValid());
}

// Keys as a scan of another index gives them: each lands behind all before it, until the array is wide enough.
class CrowdedIndexTest : public ::testing::Test {
 protected:
  // Inserts fids in the given order; returns the mean number of buckets that a key is from its home once inserted.
  double MeanWalk(const std::vector<int64_t>& fids) {
    double walked = 0;
    for (size_t i = 0; i < fids.size(); ++i) {
      const uint64_t hash = HashFid(fids[i]).home;
      bool inserted = false;
      index_.Insert(fids[i], hash, static_cast<uint32_t>(i + 1), i + 1, &inserted);
      const FidIndex::Place place = index_.LocateNow(fids[i], hash);
      walked += place.bucket - place.home;
      most_bytes_a_key_ = std::max(most_bytes_a_key_, index_.Bytes() / (i + 1));
    }
    return walked / fids.size();
  }

  static std::vector<int64_t> InHashOrder(int64_t n) {
    std::vector<int64_t> fids(n);
    std::iota(fids.begin(), fids.end(), 0);
    std::sort(fids.begin(), fids.end(), [](int64_t a, int64_t b) { return HashFid(a).home < HashFid(b).home; });
    return fids;
  }

  EpochManager epochs_;
  FidIndex index_{0, &epochs_};
  uint64_t most_bytes_a_key_ = 0;
};

TEST_F(CrowdedIndexTest, KeysInHashOrderWalkAFewBuckets) {
  const std::vector<int64_t> fids = InHashOrder(100'000);
  EXPECT_LT(MeanWalk(fids), 10) << "a walk past all keys before is 8,000 buckets";
  for (size_t i = 0; i < fids.size(); ++i) ASSERT_EQ(index_.LocateNow(fids[i], HashFid(fids[i]).home).entry, i + 1);
  EXPECT_LT(index_.Bytes(), fids.size() * 30) << "no more than any other order needs, but for the crowd's last step";
}

TEST_F(CrowdedIndexTest, KeysOfOneHomeCostBoundedMemory) {
  std::vector<int64_t> fids = InHashOrder(1 << 20);
  fids.resize(1000);  // a thousandth of the line of hashes
  MeanWalk(fids);
  // 16 homes a key, and up to 1.4 times as many.
  EXPECT_LT(most_bytes_a_key_, 64u * 16 * 3 / 2);
  for (size_t i = 0; i < fids.size(); ++i) ASSERT_EQ(index_.LocateNow(fids[i], HashFid(fids[i]).home).entry, i + 1);
}

}  // namespace
}  // namespace monolith
