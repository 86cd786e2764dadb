// SPDX-License-Identifier: Apache-2.0
// Plays the inputs that are kept in tests/cc/fuzz/corpus, and seeded random ones. `build_tools/fuzz.py` looks for new ones.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/cc/fuzz/drivers.h"

namespace monolith {
namespace {

using Driver = int (*)(const uint8_t*, size_t);

constexpr int kSeeds = 500;

struct Target {
  const char* name;
  Driver driver;
  size_t longest;  // bytes of a random input
};

class FuzzTest : public ::testing::TestWithParam<Target> {};

TEST_P(FuzzTest, KeptInputs) {
  const std::filesystem::path corpus = std::filesystem::path("tests/cc/fuzz/corpus") / GetParam().name;
  ASSERT_TRUE(std::filesystem::is_directory(corpus)) << "run this from the root of the repository";
  int played = 0;
  for (const auto& file : std::filesystem::directory_iterator(corpus)) {
    SCOPED_TRACE(file.path().string());
    std::ifstream stream(file.path(), std::ios::binary);
    const std::string input((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    EXPECT_NO_THROW(GetParam().driver(reinterpret_cast<const uint8_t*>(input.data()), input.size()));
    ++played;
  }
  EXPECT_GT(played, 0);
}

TEST_P(FuzzTest, RandomInputs) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::vector<uint8_t> input(random() % GetParam().longest);
    for (auto& byte : input) byte = static_cast<uint8_t>(random());
    ASSERT_NO_THROW(GetParam().driver(input.data(), input.size()));
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzTest,
                         ::testing::Values(Target{"table_ops", testing::RunTableOps, 1500},
                                           Target{"entry_dump", testing::RunEntryDump, 120},
                                           Target{"table_file", testing::RunTableFile, 120},
                                           Target{"records", testing::RunRecords, 200},
                                           Target{"messages", testing::RunMessages, 300}),
                         [](const ::testing::TestParamInfo<Target>& info) { return info.param.name; });

}  // namespace
}  // namespace monolith
