// SPDX-License-Identifier: Apache-2.0
// Blocks of the arena are zero, apart from one another, and their pages go back when the last of them is freed.
#include "cc/hash_table/page_arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "cc/hash_table/memory.h"
#include "tests/cc/hash_table/table_test_util.h"
#include "tests/cc/hash_table/thread_test_util.h"

namespace monolith {
namespace {

using namespace testing;  // NOLINT: the fixtures of this suite

bool IsZero(const char* at, size_t bytes) {
  return std::all_of(at, at + bytes, [](char c) { return c == 0; });
}

struct Block {
  char* at;
  size_t bytes;
  char mark;
};

// Allocates, marks and frees at random; every block is zero at first and keeps its mark until it is freed.
void Play(PageArena* arena, unsigned seed, int rounds) {
  std::mt19937 random(seed);
  std::vector<Block> blocks;
  for (int round = 0; round < rounds; ++round) {
    if (blocks.size() < 8 || random() % 2 == 0) {
      const size_t bytes = (1 + random() % 300) * PageArena::kUnit;
      char* const at = arena->Allocate(bytes);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(at) % PageArena::kUnit, 0u);
      ASSERT_TRUE(IsZero(at, bytes)) << "round " << round;
      const char mark = static_cast<char>(1 + random() % 100);
      std::memset(at, mark, bytes);
      blocks.push_back({at, bytes, mark});
    } else {
      const size_t i = random() % blocks.size();
      const Block block = blocks[i];
      ASSERT_EQ(std::count(block.at, block.at + block.bytes, block.mark), static_cast<int64_t>(block.bytes));
      arena->Free(block.at, block.bytes);
      blocks.erase(blocks.begin() + i);
    }
  }
  for (const Block& block : blocks) {
    ASSERT_EQ(std::count(block.at, block.at + block.bytes, block.mark), static_cast<int64_t>(block.bytes));
    arena->Free(block.at, block.bytes);
  }
}

TEST(PageArenaTest, BlocksAreZeroAndApart) {
  PageArena arena;
  Play(&arena, 1, Scaled(2000));
  EXPECT_EQ(arena.HeldBytes(), 0u) << "every page goes back with its last block";
}

TEST(PageArenaTest, ThreadsShareIt) {
  PageArena arena;
  RunThreads(4, [&](int thread) { Play(&arena, thread, Scaled(400)); });
  EXPECT_EQ(arena.HeldBytes(), 0u);
}

TEST(PageArenaTest, BlocksShareHugePages) {
  PageArena arena;
  std::vector<char*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(arena.Allocate(kHugePage / 4));
  EXPECT_EQ(arena.HeldBytes(), 2 * kHugePage);
  for (int i = 0; i < 4; ++i) arena.Free(blocks[i], kHugePage / 4);
  EXPECT_EQ(arena.HeldBytes(), kHugePage) << "the first page is empty";
  char* const across = arena.Allocate(kHugePage);  // the holes of four blocks are one
  EXPECT_EQ(across, blocks[0]);
  arena.Free(across, kHugePage);
  for (int i = 4; i < 8; ++i) arena.Free(blocks[i], kHugePage / 4);
}

TEST(PageArenaTest, AHoleIsOneWhicheverNeighbourIsFreedLast) {
  for (const std::vector<int>& order : {std::vector<int>{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}}) {
    PageArena arena;
    char* blocks[4];
    for (char*& block : blocks) block = arena.Allocate(PageArena::kUnit);
    for (const int i : order) arena.Free(blocks[i], PageArena::kUnit);
    EXPECT_EQ(arena.Allocate(3 * PageArena::kUnit), blocks[0]);
  }
}

TEST(PageArenaTest, TheLargestBlockFits) {
  PageArena arena;
  std::vector<char*> blocks;
  for (int i = 0; i < 5; ++i) blocks.push_back(arena.Allocate(PageArena::kMostBytes));  // more than one segment holds
  for (char* block : blocks) {
    block[0] = block[PageArena::kMostBytes - 1] = 1;
    arena.Free(block, PageArena::kMostBytes);
  }
  EXPECT_EQ(arena.HeldBytes(), 0u);
}

}  // namespace
}  // namespace monolith
