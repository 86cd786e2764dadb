// SPDX-License-Identifier: Apache-2.0
// Growth stops no reader. Nothing here depends on time: growth is held up in its middle for as long as readers want.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "cc/hash_table/epoch.h"
#include "cc/hash_table/fid_index.h"

namespace monolith {
namespace {

class FidIndexGrowthTest : public ::testing::Test {
 protected:
  // Inserts keys with entries 1, 2, ... until the array that is in use should grow.
  void Fill() {
    const EpochManager::Guard guard(epochs_);
    for (int64_t fid = 0; keys_.size() < index_.GrowAt(); ++fid) {
      const FidIndex::Locked locked = index_.Lock(HashFid(fid).home);
      ASSERT_TRUE(index_.InsertLocked(locked, fid, static_cast<uint32_t>(keys_.size() + 1)));
      index_.Unlock(locked);
      keys_.push_back(fid);
    }
  }

  // True if a reader finds the key's entry, and finds it valid.
  bool Reads(size_t i) const {
    const FidIndex::Sighting sighting = index_.Find(keys_[i], HashFid(keys_[i]).home);
    return sighting.entry == i + 1 && index_.Validate(sighting);
  }

  // Starts a thread that grows the index, and returns once it is inside.
  std::thread StartGrowth() {
    std::thread grower([this] {
      const EpochManager::Guard guard(epochs_);
      index_.Grow(index_.Current());
    });
    while (index_.growth_mutex().try_lock()) {
      index_.growth_mutex().unlock();
      std::this_thread::yield();
    }
    return grower;
  }

  EpochManager epochs_;
  FidIndex index_{0, &epochs_};
  std::vector<int64_t> keys_;
};

TEST_F(FidIndexGrowthTest, ReadersGoOnWhileGrowthStandsStill) {
  const EpochManager::Guard guard(epochs_);
  index_.Reserve(2000);
  Fill();
  const FidIndex::Array* old = index_.Current();
  // Growth needs every bucket at rest. A writer that keeps its bucket holds growth up, after what lies in front of it.
  const int64_t held = keys_[keys_.size() / 2];
  const FidIndex::Locked writer = index_.Lock(HashFid(held).home);
  std::thread grower = StartGrowth();
  size_t read = 0, beside = 0;
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < keys_.size(); ++i) {
      if (old->HomeOf(HashFid(keys_[i]).home) == writer.home) {
        ++beside;  // a reader of this very bucket waits for its writer
        continue;
      }
      ASSERT_TRUE(Reads(i)) << "fid " << keys_[i];
      ++read;
    }
    // Absent keys too: none of them is mistaken for a present one.
    for (int64_t fid = -1; fid > -500; --fid) {
      if (old->HomeOf(HashFid(fid).home) == writer.home) continue;
      ASSERT_EQ(index_.Find(fid, HashFid(fid).home).entry, FidIndex::kNoEntry);
    }
  }
  EXPECT_GT(read, 3 * keys_.size() - 40);
  EXPECT_GE(beside, 3u);
  EXPECT_EQ(index_.Current(), old) << "growth cannot have ended";
  EXPECT_FALSE(index_.growth_mutex().try_lock()) << "growth cannot have ended";
  index_.Unlock(writer);
  grower.join();
  EXPECT_NE(index_.Current(), old);
  for (size_t i = 0; i < keys_.size(); ++i) EXPECT_TRUE(Reads(i)) << "fid " << keys_[i];
}

TEST_F(FidIndexGrowthTest, AReaderThatBeganBeforeGrowthStartsAgainInTheNewArray) {
  const EpochManager::Guard guard(epochs_);
  Fill();
  const FidIndex::Sighting before = index_.Find(keys_[0], HashFid(keys_[0]).home);
  EXPECT_TRUE(index_.Validate(before));
  index_.Grow(before.array);
  EXPECT_FALSE(index_.Validate(before));
  EXPECT_TRUE(Reads(0));
}

TEST_F(FidIndexGrowthTest, OfTwoThatWantToGrowOneDoes) {
  const EpochManager::Guard guard(epochs_);
  Fill();
  const FidIndex::Array* seen = index_.Current();
  index_.Grow(seen);
  const FidIndex::Array* grown = index_.Current();
  index_.Grow(seen);
  EXPECT_EQ(index_.Current(), grown);
}

}  // namespace
}  // namespace monolith
