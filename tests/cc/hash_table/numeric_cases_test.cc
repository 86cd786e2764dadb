// SPDX-License-Identifier: Apache-2.0
// Worked cases of every optimizer: weights and state after each step, by hand or from the formulas in its file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cc/hash_table/optimizer.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using namespace testing;  // NOLINT: the fixtures of this suite

using Row = std::vector<float>;

struct StepCase {
  Row gradient;
  Row weights;
  Row state = {};  // its beginning, in memory order
  int64_t global_step = 0;
};

struct NumericCase {
  const char* name;
  OptimizerConfig optimizer;
  float rate;
  Row start;
  std::vector<StepCase> steps;
};

OptimizerConfig With(const std::string& name) { return DefaultSlice(1, name).optimizer; }

template <typename T, typename... Rest>
OptimizerConfig With(const std::string& name, T OptimizerConfig::*field, T value, Rest... rest) {
  OptimizerConfig config = With(name, rest...);
  config.*field = value;
  return config;
}

constexpr auto kAcc = &OptimizerConfig::initial_accumulator_value;
constexpr auto kDecay = &OptimizerConfig::weight_decay_factor;
constexpr auto kBeta = &OptimizerConfig::beta;
constexpr auto kL1 = &OptimizerConfig::l1_regularization_strength;
constexpr auto kL2 = &OptimizerConfig::l2_regularization_strength;
constexpr auto kNesterov = &OptimizerConfig::use_nesterov;
constexpr auto kDecouple = &OptimizerConfig::decouple_weight_decay;
constexpr float kAny = NAN;

const NumericCase kCases[] = {
    {"sgd", With("sgd"), 0.1f, {0}, {{{1}, {-0.1f}}}},
    {"adagrad",
     With("adagrad", kAcc, 1.0f),
     0.1f,
     {0, 0},
     {{{1, 2}, {-0.0707107f, -0.0894427f}, {2, 5}}, {{1, 1}, {-0.1284457f, -0.1302676f}, {3, 6}}}},
    {"adagrad_decay",
     With("adagrad", kAcc, 1.0f, kDecay, 0.1f),
     0.1f,
     {0, 0},
     {{{1, 2}, {-0.0707107f, -0.0894427f}}, {{1, 2}, {-0.128173f, -0.155943f}}}},
    {"adagrad_decay_in_whole_vectors",
     With("adagrad", kAcc, 1.0f, kDecay, 0.1f),
     0.1f,
     Row(8, 0),
     {{Row(8, 1), Row(8, -0.0707107f)}, {Row(8, 1), Row(8, -0.128173f)}}},
    {"adagrad_small_accumulator", With("adagrad"), 1, {0}, {{{1}, {-0.9534625f}}, {{1}, {-1.643528f}}}},
    {"adagrad_no_accumulator", With("adagrad", kAcc, 0.0f), 0.1f, {3, 4}, {{{0, 0}, {3, 4}}}},
    {"adagrad_twice", With("adagrad", kAcc, 1.0f), 0.1f, {0}, {{{1}, {-0.0707107f}}, {{2}, {-0.1523603f}}}},
    {"adagrad_summed", With("adagrad", kAcc, 1.0f), 0.1f, {0}, {{{3}, {-0.0948683f}}}},
    {"adadelta",
     With("adadelta"),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.0031607f, -0.0030151f}, {10, 0.1f}}, {{10, 1}, {-0.0064035f, -0.0061047f}}}},
    {"adadelta_decay", With("adadelta", kDecay, 0.5f), 0.1f, {1}, {{{1}, {0.9690574f}}}},
    {"adam",
     With("adam"),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.0099010f, -0.0090909f}, {1, 0.1f, 1, 0.01f, 0.81f, 0.9801f}},
      {{10, 1}, {-0.0198306f, -0.0184290f}},
      {{-5, 0}, {-0.0249605f, -0.0256613f}, {kAny, kAny, kAny, kAny, 0.6561f, 0.960596f}}}},
    {"adam_nesterov",
     With("adam", kNesterov, true),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.0188119f, -0.0172727f}}, {{10, 1}, {-0.0329746f, -0.0305917f}}}},
    {"adam_decay", With("adam", kDecay, 0.1f), 0.01f, {1}, {{{1}, {0.9908333f}}}},
    {"amsgrad",
     With("amsgrad"),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.0099010f, -0.0090909f}, {1, 0.1f}}, {{10, 1}, {-0.0198306f, -0.0184290f}}}},
    {"amsgrad_keeps_the_largest_moment",
     With("amsgrad"),
     0.01f,
     {0},
     {{{10}, {-0.0099010f}}, {{0}, {-0.0165170f}, {kAny, 0.99f, 0.999999f}}}},
    {"amsgrad_nesterov", With("amsgrad", kNesterov, true), 0.01f, {0, 0}, {{{10, 1}, {-0.0188119f, -0.0172727f}}}},
    {"momentum",
     With("momentum"),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.1f, -0.01f}, {-0.1f, -0.01f}}, {{10, 1}, {-0.29f, -0.029f}}}},
    {"momentum_nesterov",
     With("momentum", kNesterov, true),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.19f, -0.019f}}, {{10, 1}, {-0.461f, -0.0461f}}}},
    {"momentum_decay", With("momentum", kDecay, 0.5f), 0.1f, {1}, {{{1}, {0.85f}, {-0.15f}}}},
    {"moving_average_ignores_the_rate",
     With("moving_average"),
     123,
     {0, 0},
     {{{10, 1}, {1, 0.1f}}, {{10, 1}, {1.9f, 0.19f}}}},
    {"rmsprop", With("rmsprop"), 0.01f, {0}, {{{10}, {-0.024025f}, {10}}, {{10}, {-0.042686f}, {19}}}},
    {"rmsprop_takes_the_rate_of_the_call", With("rmsprop"), 0.02f, {0}, {{{10}, {-0.04805f}}}},
    {"rmspropv2",
     With("rmspropv2"),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.0090909f, -0.005f}, {100, 1}}, {{10, 1}, {-0.0158549f, -0.0092045f}}}},
    {"ftrl",
     With("ftrl"),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.009995f, -0.0095346f}, {100.1f, 1.1f}}, {{10, 1}, {-0.0170643f, -0.0164353f}}}},
    {"ftrl_regularised",
     With("ftrl", kBeta, 1.0f, kL1, 0.5f, kL2, 0.2f),
     0.1f,
     {0, 0},
     {{{10, -1}, {-0.0861678f, 0.0241685f}}}},
    {"ftrl_sparse", With("ftrl", kL1, 0.5f), 0.1f, {0, 0}, {{{0.4f, -1}, {0, 0.0476731f}}}},
    {"ftrl_without_rate", With("ftrl"), 0, {3, 4}, {{{1, 1}, {3, 4}}}},
    {"group_adagrad",
     With("group_adagrad", kAcc, 0.0f, kBeta, 1.0f, kL2, 1.0f),
     0.01f,
     {0},
     {{{10}, {-0.008182f}, {100}}, {{10}, {-0.014125f}}}},
    {"group_adagrad_of_two",
     With("group_adagrad", kAcc, 0.0f, kBeta, 1.0f, kL2, 0.5f),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.008639f, -0.000864f}}, {{1, 5}, {-0.009096f, -0.004778f}, {125}}}},
    {"group_adagrad_without_l2",
     With("group_adagrad", kAcc, 0.0f, kBeta, 1.0f),
     0.01f,
     {0, 0},
     {{{10, 1}, {-0.009091f, -0.000909f}}}},
    {"group_adagrad_below_l2",
     With("group_adagrad", kAcc, 0.0f, kBeta, 1.0f, kL2, 1000.0f),
     0.01f,
     {0, 0},
     {{{10, 1}, {0, 0}}}},
    {"group_adagrad_decay",
     With("group_adagrad", kL2, 0.1f, kDecay, 0.01f),
     0.1f,
     {0.5f, -0.5f},
     {{{1, 2}, {0.4472698f, -0.5948100f}, {4.0800252f}}}},
    {"group_adagrad_without_rate",
     With("group_adagrad", kAcc, 0.0f, kBeta, 1.0f, kL2, 0.5f),
     0,
     {3, 4},
     {{{1, 1}, {3, 4}}}},
    {"group_adagrad_without_history", With("group_adagrad", kAcc, 0.0f), 0.1f, {3, 4}, {{{0, 0}, {3, 4}}}},
    {"group_adagrad_no_quotient_of_zeros", With("group_adagrad"), 0.1f, {0, 0}, {{{0, 0}, {0, 0}, {0.1f}}}},
    {"group_ftrl",
     With("group_ftrl", kL1, 1.0f, kL2, 0.5f),
     0.1f,
     {0, 0},
     {{{3, -4}, {-0.24f / 4.05f, 0.32f / 5.05f}}}},
    {"group_ftrl_at_l1", With("group_ftrl", kL1, 5.0f, kL2, 0.5f), 0.1f, {0, 0}, {{{3, -4}, {0, 0}}}},
    {"group_ftrl_no_quotient_of_zeros", With("group_ftrl", kBeta, 0.0f), 0.1f, {0, 0}, {{{0, 0}, {0, 0}}}},
    {"group_ftrl_without_rate", With("group_ftrl", kBeta, 0.0f), 0, {3, 4}, {{{1, 1}, {3, 4}}}},
    {"dynamic_wd_adagrad_coupled",
     With("dynamic_wd_adagrad", kAcc, 1.0f, kDecay, 0.1f),
     0.1f,
     {0, 0},
     {{{1, 2}, {-0.0707107f, -0.0894427f}}, {{1, 2}, {-0.128173f, -0.155943f}}}},
    {"dynamic_wd_adagrad_decoupled",
     With("dynamic_wd_adagrad", kAcc, 0.0f, kDecay, 0.5f, kDecouple, true),
     0.1f,
     {2},
     {{{3}, {1.8f}}}},
    {"dynamic_wd_adagrad_decays_without_gradient",
     With("dynamic_wd_adagrad", kAcc, 0.0f, kDecay, 0.5f, kDecouple, true),
     0.1f,
     {2},
     {{{0}, {1.9f}}}},
    {"batch_softmax",
     With("batch_softmax"),
     0.1f,
     {0},
     {{{-5}, {0.1f}, {}, 1}, {{5}, {0.59f}, {}, 6}, {{0}, {1.031f}, {}, 11}}},
};

class NumericCasesTest : public ::testing::TestWithParam<NumericCase> {};

void ExpectNear(const Row& found, const Row& expected, float tolerance) {
  ASSERT_GE(found.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) continue;
    EXPECT_NEAR(found[i], expected[i], tolerance) << i;
  }
}

TEST_P(NumericCasesTest, WeightsAndState) {
  Row weights = GetParam().start;
  const int dim = static_cast<int>(weights.size());
  const auto optimizer = NewOptimizer(GetParam().optimizer, dim);
  Row state(optimizer->state_bytes() / 4);
  optimizer->InitState(state.data());
  for (const StepCase& step : GetParam().steps) {
    optimizer->Step(weights.data(), state.data(), step.gradient.data(), {GetParam().rate, step.global_step});
    ExpectNear(weights, step.weights, 1e-6f);
    ExpectNear(state, step.state, 1e-4f);
  }
}

// The same through a table that is saved and restored before every step.
TEST_P(NumericCasesTest, OverSavesAndRestores) {
  SliceConfig slice = MakeSlice(static_cast<int>(GetParam().start.size()));
  slice.optimizer = GetParam().optimizer;
  auto table = NewEmbeddingTable(MakeConfig({slice}));
  Assign(table.get(), {7}, GetParam().start);
  for (const StepCase& step : GetParam().steps) {
    auto restored = NewEmbeddingTable(table->config());
    Restore(restored.get(), Dump(table.get()));
    table = std::move(restored);
    Optimize(table.get(), {7}, step.gradient, {GetParam().rate}, 0, step.global_step);
    ExpectNear(Lookup(*table, {7}), step.weights, 1e-6f);
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, NumericCasesTest, ::testing::ValuesIn(kCases),
                         [](const ::testing::TestParamInfo<NumericCase>& info) { return info.param.name; });

}  // namespace
}  // namespace monolith
