// SPDX-License-Identifier: Apache-2.0
// Occurrence filters: counts, forgetting, error rates, and additions from many threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <random>
#include <thread>
#include <unordered_map>

#include "cc/hash_table/cell_filter.h"
#include "cc/hash_table/probabilistic_filter.h"
#include "cc/hash_table/sliding_filter.h"

namespace monolith {
namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

OccurrenceThresholdConfig Thresholds(uint32_t threshold) {
  OccurrenceThresholdConfig config;
  config.default_threshold = threshold;
  return config;
}

template <typename Call>
void ExpectError(Call call, const std::string& words) {
  try {
    call();
    FAIL() << "no error; wanted: " << words;
  } catch (const TableError& error) {
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

std::vector<uint64_t> ElementsOf(const SlidingFilter& filter) {
  const SlidingFilter::Locked locked(filter);
  std::vector<uint64_t> elements;
  for (int i = 0; i < filter.split_num(); ++i) elements.push_back(locked.split(i).num_elements());
  return elements;
}

FilterSplitMeta MetaOf(const SlidingFilter& filter) { return SlidingFilter::Locked(filter).Meta(0); }

// Adds 2 to a million random 31-bit fids; returns the share of them whose count is wrong afterwards.
double ErrorRate(const std::function<void(int64_t)>& add, const std::function<int(int64_t)>& get) {
  std::mt19937 random(7);
  std::unordered_map<int64_t, int> counts;
  for (int i = 0; i < 1000000; ++i) {
    const int64_t fid = random() & 0x7fffffff;
    add(fid);
    counts[fid] += 2;
  }
  int wrong = 0;
  for (const auto& [fid, count] : counts) wrong += get(fid) != std::min(count, kMaxFilterCount);
  return wrong / static_cast<double>(counts.size());
}

TEST(CellFilterTest, CountsUpTo15AtAnyCapacity) {
  for (uint64_t capacity : {1, 3, 100}) {
    CellFilter<uint16_t> filter(capacity, 1.5);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(filter.Add(1, 1), std::min(i, 15)) << capacity;
    EXPECT_EQ(filter.Get(1), 15);
  }
}

TEST(CellFilterTest, CountIsCappedAndAFidIsOneElement) {
  CellFilter<uint16_t> filter(100, 1.5);
  EXPECT_EQ(filter.Add(1, 1), 0);
  EXPECT_EQ(filter.Add(1, 20), 1);
  EXPECT_EQ(filter.Add(1, 1), 15);
  EXPECT_EQ(filter.num_elements(), 1u);
  EXPECT_EQ(filter.Add(2, 0), 0);
  EXPECT_EQ(filter.Add(2, -5), 0);
  EXPECT_EQ(filter.num_elements(), 1u) << "nothing was added";
  EXPECT_EQ(filter.total_size(), 150u);
  EXPECT_EQ(filter.num_cells(), 214u);
}

TEST(CellFilterTest, NeighbouringFidsAreToldApart) {
  CellFilter<uint16_t> filter(1000, 1.5);
  for (int64_t fid = 0; fid < 300; ++fid) filter.Add(fid, fid % 14 + 1);
  int right = 0;
  for (int64_t fid = 0; fid < 300; ++fid) right += filter.Get(fid) == fid % 14 + 1;
  EXPECT_GE(right, 298) << "fids 0 to 300 share their upper bits, not their signature";
}

TEST(CellFilterTest, AFullWindowAnswers15AndCountsTheFailure) {
  CellFilter<uint16_t> filter(1, 1.0, 4);  // every window is the same four cells
  for (int64_t fid = 0; fid < 4; ++fid) EXPECT_EQ(filter.Add(fid, 2), 0);
  EXPECT_EQ(filter.failure_count(), 0u);
  EXPECT_EQ(filter.Add(4, 2), 15);
  EXPECT_EQ(filter.Get(5), 15);
  EXPECT_EQ(filter.failure_count(), 1u);
  EXPECT_EQ(filter.num_elements(), 1u) << "capped at the capacity";
  EXPECT_EQ(filter.Get(3), 2);
}

TEST(CellFilterTest, PlaceAndSignatureAreThoseOfSavedFiles) {
  // Mix64(1) = 0xb456bcfc34c2cb2c: signature b45; mod 1000 = 988 (computed apart from this code).
  CellFilter<uint16_t> filter(1000, 1.0);
  filter.Add(1, 3);
  std::vector<uint16_t> cells(filter.num_cells());
  filter.ReadCells(0, cells.size(), cells.data());
  EXPECT_EQ(cells[0xb456bcfc34c2cb2cULL % 1000], 0xb453);
  CellFilter<uint8_t> small(1000, 1.0);
  small.Add(1, 3);
  std::vector<uint8_t> small_cells(small.num_cells());
  small.ReadCells(0, small_cells.size(), small_cells.data());
  EXPECT_EQ(small_cells[0xb456bcfc34c2cb2cULL % 1000], 0xb3);
}

TEST(CellFilterTest, ErrorRates) {
  if (kSanitized) GTEST_SKIP();
  CellFilter<uint16_t> wide(1000000, 2);
  const double wide_rate = ErrorRate([&](int64_t f) { wide.Add(f, 2); }, [&](int64_t f) { return wide.Get(f); });
  EXPECT_GT(wide_rate, 2.42e-4 / 2);
  EXPECT_LT(wide_rate, 2.42e-4 * 2);
  CellFilter<uint8_t> narrow(1000000, 4);
  const double narrow_rate = ErrorRate([&](int64_t f) { narrow.Add(f, 2); }, [&](int64_t f) { return narrow.Get(f); });
  EXPECT_GT(narrow_rate, 0.0208 / 2);
  EXPECT_LT(narrow_rate, 0.0208 * 2);
}

TEST(SlidingFilterTest, CountsUpTo15AtAnyCapacity) {
  for (int64_t capacity : {-5, 1, 3, 100, 5000}) {
    for (int split_num : {0, 5, 7, 1000}) {
      SlidingFilter filter(capacity, split_num, Thresholds(0));
      EXPECT_EQ(filter.split_num(), std::max(split_num, 5));
      for (int i = 0; i < 18; ++i) EXPECT_EQ(filter.Add(1, 1), std::min(i, 15)) << capacity << " " << split_num;
      EXPECT_EQ(filter.Get(1), 15);
    }
  }
}

TEST(SlidingFilterTest, DefaultSizeCostsNothingUntilItIsUsed) {
  SlidingFilter filter(300000000, 7, Thresholds(3));
  EXPECT_EQ(filter.Add(1, 1), 0);
  const SlidingFilter::Locked locked(filter);
  EXPECT_EQ(locked.split(0).total_size(), 60000000u);
  EXPECT_EQ(locked.split(0).capacity(), 50000000u);
}

TEST(SlidingFilterTest, ThresholdDropsTheFirstSightings) {
  SlidingFilter filter(300, 7, Thresholds(3));
  const int64_t other = 3LL << 17;
  EXPECT_FALSE(filter.Admit(1, 1));
  EXPECT_FALSE(filter.Admit(other, 1));
  EXPECT_FALSE(filter.Admit(1, 1));
  EXPECT_FALSE(filter.Admit(1, 1));
  EXPECT_FALSE(filter.Admit(other, 1));
  EXPECT_TRUE(filter.Admit(1, 1));
  EXPECT_FALSE(filter.Admit(other, 1));
  EXPECT_TRUE(filter.Admit(other, 1));
  EXPECT_FALSE(filter.Admit(7, 3)) << "what counts is what came before";
  EXPECT_TRUE(filter.Admit(7, 1));
}

TEST(SlidingFilterTest, ThresholdsAreThoseOfTheFidsSlot) {
  OccurrenceThresholdConfig config;
  config.by_slot = {{1, 1}, {2, 0}, {32767, 15}};
  config.default_threshold = 2;
  SlidingFilter filter(300, 7, config);
  const auto first_admitted = [&](int64_t fid) {
    int sighting = 1;
    while (!filter.Admit(fid, 1)) ++sighting;
    return sighting;
  };
  EXPECT_EQ(first_admitted(5), 3);
  EXPECT_EQ(first_admitted((1LL << 48) + 5), 2);
  EXPECT_EQ(first_admitted((2LL << 48) + 5), 1);
  EXPECT_EQ(first_admitted(-1), 16);
}

TEST(SlidingFilterTest, ThresholdZeroNeverCounts) {
  SlidingFilter filter(300, 7, Thresholds(0));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(filter.Admit(1, 1));
  EXPECT_EQ(filter.Get(1), 0);
}

TEST(SlidingFilterTest, HeadMovesAndCountsMoveAlong) {
  SlidingFilter filter(300, 100, Thresholds(2));
  EXPECT_EQ(SlidingFilter::Locked(filter).split(0).total_size(), 3u);
  const std::vector<int64_t> fids = {1, 1 << 17, 2 << 17, 1};
  const auto run = [&] {
    std::vector<bool> admitted;
    for (int64_t fid : fids) admitted.push_back(filter.Admit(fid, 1));
    return admitted;
  };
  EXPECT_EQ(run(), std::vector<bool>({false, false, false, false}));
  EXPECT_EQ(run(), std::vector<bool>({true, false, false, true}));
  EXPECT_EQ(MetaOf(filter).filter.head, 4u);
  EXPECT_EQ(MetaOf(filter).filter.head_increment, 4u);
  std::vector<uint64_t> elements(100, 0);
  std::fill_n(elements.begin(), 4, 2);
  EXPECT_EQ(ElementsOf(filter), elements);
  EXPECT_EQ(run(), std::vector<bool>({true, true, true, true}));
}

TEST(SlidingFilterTest, ForgetsWhatWasNotSeenForARound) {
  SlidingFilter filter(5000, 5, Thresholds(0));
  filter.Add(-7, 9);
  EXPECT_EQ(filter.Get(-7), 9);
  int64_t fid = 0;
  for (; MetaOf(filter).filter.head_increment < 3; ++fid) filter.Add(fid, 1);
  EXPECT_EQ(filter.Get(-7), 9) << "three splits behind the head are remembered";
  for (; MetaOf(filter).filter.head_increment < 4; ++fid) filter.Add(fid, 1);
  EXPECT_EQ(filter.Get(-7), 0);
  EXPECT_EQ(MetaOf(filter).filter.head, 4u);
  for (; MetaOf(filter).filter.head_increment < 23; ++fid) filter.Add(fid, 1);
  EXPECT_EQ(MetaOf(filter).filter.head, 3u);
}

TEST(SlidingFilterTest, ErrorRates) {
  if (kSanitized) GTEST_SKIP();
  SlidingFilter large(1000000, 10, Thresholds(0));
  const double rate = ErrorRate([&](int64_t f) { large.Add(f, 2); }, [&](int64_t f) { return large.Get(f); });
  EXPECT_NEAR(rate, 0.00908, 0.00454);
  SlidingFilter small(500000, 10, Thresholds(0));
  const double forgotten = ErrorRate([&](int64_t f) { small.Add(f, 2); }, [&](int64_t f) { return small.Get(f); });
  EXPECT_NEAR(forgotten, 0.5, 0.25);
}

TEST(SlidingFilterTest, RefusesWhatCannotWork) {
  ExpectError([] { SlidingFilter(300, 7, Thresholds(16)); }, "is 16, but the sliding filter counts to 15");
  OccurrenceThresholdConfig config;
  config.by_slot = {{5, 99}};
  ExpectError([&] { SlidingFilter(300, 7, config); }, "the occurrence threshold of slot 5 is 99");
  config.by_slot = {{32768, 1}};
  ExpectError([&] { SlidingFilter(300, 7, config); }, "slot 32768: slots end at 32767");
  ExpectError([] { SlidingFilter(int64_t{1} << 50, 7, Thresholds(0)); }, "lower its capacity or use more splits");
  ExpectError([] { SlidingFilter(300, 100000, Thresholds(0)); }, "100000 splits: use at most 99999");
  SlidingFilter(300, 7, Thresholds(15));
}

std::unique_ptr<SlidingFilter::Restored> Copy(const SlidingFilter& from, const SlidingFilter& to) {
  const SlidingFilter::Locked locked(from);
  std::vector<FilterSplitMeta> metas;
  for (int i = 0; i < from.split_num(); ++i) metas.push_back(locked.Meta(i));
  auto restored = to.StartRestore(metas);
  for (int i = 0; i < from.split_num(); ++i) {
    std::vector<uint16_t> cells(locked.split(i).num_cells());
    locked.split(i).ReadCells(0, cells.size(), cells.data());
    restored->split(i)->WriteCells(0, cells.size(), cells.data());
  }
  return restored;
}

TEST(SlidingFilterTest, RestoredFilterGoesOnAsTheSavedOne) {
  SlidingFilter saved(5000, 6, Thresholds(3)), other(7000, 6, Thresholds(3));
  for (int64_t fid = 0; fid < 7000; ++fid) saved.Add(fid, fid % 5 + 1);
  other.Add(123456, 9);
  other.FinishRestore(Copy(saved, other));
  EXPECT_EQ(MetaOf(other).filter.head, MetaOf(saved).filter.head);
  EXPECT_EQ(MetaOf(other).total_size, MetaOf(saved).total_size) << "of the saved one";
  EXPECT_EQ(SlidingFilter::Locked(other).split(0).capacity(), 1400u) << "its own";
  EXPECT_EQ(ElementsOf(other), ElementsOf(saved));
  for (int64_t fid = 0; fid < 7000; ++fid) ASSERT_EQ(other.Get(fid), saved.Get(fid)) << fid;
  EXPECT_EQ(other.Get(123456), 0);
}

TEST(SlidingFilterTest, RestoreRefusesAnotherShapeAndLeavesTheFilterAlone) {
  SlidingFilter saved(300, 7, Thresholds(3)), other(300, 8, Thresholds(3)), same(300, 7, Thresholds(3));
  same.Add(5, 4);
  ExpectError([&] { Copy(saved, other); }, "split_num 7, this one has 8");
  std::vector<FilterSplitMeta> metas;
  for (int i = 0; i < 7; ++i) metas.push_back(SlidingFilter::Locked(saved).Meta(i));
  for (auto [field, words] :
       {std::pair{&FilterSplitMeta::Filter::max_forward_step, "max_forward_step 9, this one has 2"},
        {&FilterSplitMeta::Filter::max_backward_step, "max_backward_step 9, this one has 5"},
        {&FilterSplitMeta::Filter::max_step, "max_step 9, this one has 16"}}) {
    auto wrong = metas;
    wrong[6].filter.*field = 9;
    ExpectError([&] { same.StartRestore(wrong); }, words);
  }
  auto wrong = metas;
  wrong[3].filter.head = 2;
  ExpectError([&] { same.StartRestore(wrong); }, "do not belong together");
  wrong = metas;
  wrong.pop_back();
  ExpectError([&] { same.StartRestore(wrong); }, "7 splits comes in 6 files");
  wrong = metas;
  wrong[0].total_size = 0;
  ExpectError([&] { same.StartRestore(wrong); }, "do not belong together");
  wrong = metas;
  wrong[0].total_size = uint64_t{1} << 60;
  ExpectError([&] { same.StartRestore(wrong); }, "cells in one split");
  EXPECT_EQ(same.Get(5), 4);
}

template <typename Work>
void RunThreads(int n, Work work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) threads.emplace_back([&work, i] { work(i); });
  for (auto& thread : threads) thread.join();
}

// Fids that a single thread tells apart: their counts come out right one after another.
std::vector<int64_t> DistinctFids(int64_t capacity, int split_num, int64_t n) {
  std::vector<int64_t> fids;
  SlidingFilter filter(capacity, split_num, Thresholds(0));
  for (int64_t fid = 1; static_cast<int64_t>(fids.size()) < n; ++fid) {
    if (filter.Add(fid, 1) == 0) fids.push_back(fid);
  }
  return fids;
}

TEST(FilterConcurrencyTest, EveryFidOfOneThreadIsCountedExactlyWhileTheHeadMoves) {
  // The head moves many times, but never so far between two rounds that a fid is forgotten. In no split do two of the
  // fids look alike, whatever their order: no two of them have the same signature and overlapping windows. Whether a fid's
  // windows in both splits at the head are full does depend on the order. Then, seldom, the answer is 15, which no other
  // is, and the filter counts a failure instead of the fid.
  constexpr int kThreads = 4;
  constexpr int kRounds = 7;
  const int64_t num_fids = kSanitized ? 2000 : 8000;
  const int64_t capacity = num_fids * 4;
  const uint64_t total_size = static_cast<uint64_t>(capacity / 9 * 1.2);
  std::vector<int64_t> fids;
  std::unordered_map<uint64_t, std::vector<uint64_t>> homes;  // by signature
  for (int64_t fid = 1; static_cast<int64_t>(fids.size()) < num_fids; ++fid) {
    const uint64_t hash = Mix64(fid), home = hash % total_size;
    auto& alike = homes[hash >> 52];
    const bool clash =
        std::any_of(alike.begin(), alike.end(), [&](uint64_t h) { return h + 16 > home && home + 16 > h; });
    if (clash) continue;
    alike.push_back(home);
    fids.push_back(fid);
  }
  SlidingFilter filter(capacity, 10, Thresholds(0));
  std::vector<int> counts(fids.size(), 0);  // each written by the thread that has the fid
  std::atomic<uint64_t> failures{0};
  for (int round = 0; round < kRounds; ++round) {
    RunThreads(kThreads, [&](int thread) {
      for (size_t i = thread; i < fids.size(); i += kThreads) {
        const int seen = filter.Add(fids[i], 2);
        if (seen == kMaxFilterCount) {
          ++failures;
          continue;
        }
        ASSERT_EQ(seen, counts[i]) << fids[i];
        counts[i] += 2;
      }
    });
  }
  int unreadable = 0;
  for (size_t i = 0; i < fids.size(); ++i) {
    const int seen = filter.Get(fids[i]);
    if (seen == kMaxFilterCount) {
      ++unreadable;
    } else {
      ASSERT_EQ(seen, counts[i]) << fids[i];
    }
  }
  EXPECT_GE(MetaOf(filter).filter.head_increment, 10u);
  EXPECT_EQ(MetaOf(filter).filter.failure_count, failures.load());
  EXPECT_LE(failures.load(), fids.size() / 200);
  EXPECT_LE(unreadable, static_cast<int>(fids.size() / 200));
}

TEST(FilterConcurrencyTest, OneFidOfAllThreadsIsCountedExactly) {
  const int64_t num_fids = kSanitized ? 300 : 5000;
  const std::vector<int64_t> fids = DistinctFids(num_fids * 20, 7, num_fids);
  SlidingFilter filter(num_fids * 20, 7, Thresholds(0));
  std::vector<std::atomic<uint32_t>> answers(num_fids);  // bit b: some Add returned b
  RunThreads(5, [&](int) {
    for (int64_t i = 0; i < num_fids; ++i) {
      for (int repeat = 0; repeat < 3; ++repeat) {
        const uint32_t bit = 1u << filter.Add(fids[i], 1);
        ASSERT_EQ(answers[i].fetch_or(bit) & bit, 0u) << "two threads were given one count";
      }
    }
  });
  for (int64_t i = 0; i < num_fids; ++i) {
    ASSERT_EQ(answers[i].load(), (1u << 15) - 1) << "the counts 0 to 14, each once";
    ASSERT_EQ(filter.Get(fids[i]), 15);
  }
  uint64_t elements = 0;
  for (uint64_t count : ElementsOf(filter)) elements += count;
  EXPECT_EQ(elements, static_cast<uint64_t>(num_fids));
}

TEST(FilterConcurrencyTest, SavesAndRestoresBesideAdditions) {
  SlidingFilter filter(3000, 6, Thresholds(3));
  std::atomic<int> adding{3};
  RunThreads(4, [&](int thread) {
    if (thread < 3) {
      for (int64_t fid = 0; fid < (kSanitized ? 5000 : 50000); ++fid) filter.Admit(fid % 4000 + thread, 1);
      --adding;
      return;
    }
    while (adding.load() > 0) {
      filter.FinishRestore(Copy(filter, SlidingFilter(3000, 6, Thresholds(3))));
      std::this_thread::yield();
    }
  });
  const SlidingFilter::Locked locked(filter);
  for (int i = 0; i < filter.split_num(); ++i) {
    std::vector<uint16_t> cells(locked.split(i).num_cells());
    locked.split(i).ReadCells(0, cells.size(), cells.data());
    const uint64_t used = cells.size() - std::count(cells.begin(), cells.end(), 0);
    EXPECT_EQ(locked.split(i).num_elements(), std::min(used, locked.split(i).capacity()));
  }
}

double KeepRate(ProbabilisticFilter* filter, int64_t count, int trials) {
  int kept = 0;
  for (int64_t fid = 0; fid < trials; ++fid) kept += filter->Admit(fid, count);
  return kept / static_cast<double>(trials);
}

TEST(ProbabilisticFilterTest, KeepsByCountOverThreshold) {
  ProbabilisticFilter filter(false, Thresholds(7));
  EXPECT_NEAR(KeepRate(&filter, 1, 10000), 1 / 7.0, 0.01);
  EXPECT_NEAR(KeepRate(&filter, 2, 10000), 2 / 7.0, 0.02);
  EXPECT_EQ(KeepRate(&filter, 7, 1000), 1);
  EXPECT_EQ(KeepRate(&filter, 99, 1000), 1);
}

TEST(ProbabilisticFilterTest, EqualModeGivesEverySightingTheSameChance) {
  ProbabilisticFilter filter(true, Thresholds(7));
  const double p = 1 - std::pow(0.05, 1 / 7.0);
  EXPECT_NEAR(KeepRate(&filter, 1, 10000), p, 0.02);
  EXPECT_NEAR(KeepRate(&filter, 2, 10000), 1 - (1 - p) * (1 - p), 0.02);
  EXPECT_NEAR(KeepRate(&filter, 7, 10000), 0.95, 0.02);
}

TEST(ProbabilisticFilterTest, ThresholdZeroAlwaysKeepsAndLargeOnesAreFine) {
  ProbabilisticFilter none(true, Thresholds(0));
  EXPECT_EQ(KeepRate(&none, 1, 1000), 1);
  ProbabilisticFilter large(false, Thresholds(100));
  EXPECT_NEAR(KeepRate(&large, 50, 10000), 0.5, 0.02);
  OccurrenceThresholdConfig config;
  config.by_slot = {{40000, 1}};
  ExpectError([&] { ProbabilisticFilter(false, config); }, "slot 40000");
}

TEST(ProbabilisticFilterTest, ThreadsDrawDifferentNumbers) {
  ProbabilisticFilter filter(false, Thresholds(2));
  std::vector<std::vector<bool>> draws(2);
  RunThreads(2, [&](int thread) {
    for (int i = 0; i < 100; ++i) draws[thread].push_back(filter.Admit(1, 1));
  });
  EXPECT_NE(draws[0], draws[1]);
}

}  // namespace
}  // namespace monolith
