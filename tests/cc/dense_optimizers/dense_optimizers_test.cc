// SPDX-License-Identifier: Apache-2.0
// Worked steps of the optimizers of dense variables.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cc/dense_optimizers/adamom.h"
#include "cc/dense_optimizers/rmsprop.h"

namespace monolith::dense_optimizers {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

struct State {
  float var = 0.1f, m = 0, v = 0, c = 0;
};

Adamom MakeAdamom() { return {0.1f, 0.99f, 0.9f, 1e-6f, 0.01f}; }
Rmsprop MakeRmsprop() { return {0.1f, 0.9f, 0.9f, 0.1f, 1.0f}; }

void Step(const Adamom& rule, State* s) {
  const float grad = 0.12f;
  rule.Step(1, &grad, &s->var, &s->m, &s->v, &s->c);
}

void Step(const Rmsprop& rule, State* s) {
  const float grad = 0.12f;
  rule.Step(1, &grad, &s->var, &s->m, &s->v);
}

void Expect(const State& s, float var, float m, float v) {
  EXPECT_NEAR(s.var, var, 2e-7);
  EXPECT_NEAR(s.m, m, 2e-7);
  EXPECT_NEAR(s.v, v, 2e-7);
}

TEST(AdamomTest, ThreeSteps) {
  State s;
  Step(MakeAdamom(), &s);
  EXPECT_NEAR(s.var, 0.090000341f, 1e-8);
  Expect(s, 0.090000341f, 0.0121f, 0.014641f);
  Step(MakeAdamom(), &s);
  Expect(s, 0.071001366f, 0.022980f, 0.029111401f);
  Step(MakeAdamom(), &s);
  Expect(s, 0.043904381f, 0.032753002f, 0.043391194f);
  EXPECT_FLOAT_EQ(s.c, 2.9701f);
}

TEST(AdamomTest, SecondForm) {
  Adamom rule = MakeAdamom();
  rule.use_v2 = true;
  State s;
  for (const float expected : {0.090000083f, 0.071000615f}) {
    Step(rule, &s);
    EXPECT_NEAR(s.var, expected, 2e-7);
  }
}

TEST(AdamomTest, WithoutSlotUpdatesOnlyVarMoves) {
  Adamom rule = MakeAdamom();
  rule.update_slots = false;
  State fresh;
  Step(rule, &fresh);
  EXPECT_EQ(fresh.var, 0.1f) << "nothing is known yet: no step, and no 0 / 0";
  State s{0.1f, 0.02f, 0.04f, 4};
  Step(rule, &s);
  EXPECT_NEAR(s.var, 0.1f - 0.1f * 0.02f / std::sqrt(0.01f + 1e-6f), 1e-7);
  EXPECT_THAT((std::vector<float>{s.m, s.v, s.c}), ElementsAre(0.02f, 0.04f, 4));
}

TEST(RmspropTest, ThreeSteps) {
  State s;
  Step(MakeRmsprop(), &s);
  EXPECT_NEAR(s.var, 0.032054738f, 1e-8);
  Expect(s, 0.032054738f, 0.067945262f, 0.00484f);
  Step(MakeRmsprop(), &s);
  Expect(s, -0.075652757f, 0.107707496f, 0.006668064f);
  Step(MakeRmsprop(), &s);
  Expect(s, -0.186197952f, 0.110545194f, 0.006197926f);
}

TEST(RmspropTest, SecondForm) {
  Rmsprop rule = MakeRmsprop();
  rule.use_v2 = true;
  State s;
  Step(rule, &s);
  Expect(s, 0.031250f, 0.068750f, 0.0484f);
  Step(rule, &s);
  Expect(s, -0.072902783f, 0.104152783f, 0.066436563f);
  Step(rule, &s);
  Expect(s, -0.180134412f, 0.107231629f, 0.062011054f);
}

TEST(RmspropTest, WithoutSlotUpdatesNothingHappens) {
  Rmsprop rule = MakeRmsprop();
  rule.update_slots = false;
  State s{0.1f, 0.02f, 0.04f, 0};
  Step(rule, &s);
  EXPECT_THAT((std::vector<float>{s.var, s.m, s.v}), ElementsAre(0.1f, 0.02f, 0.04f));
}

TEST(DenseOptimizersTest, ManyWeightsEqualOneByOne) {
  constexpr int n = 37;
  std::vector<float> var(n), m(n), v(n), c(n), grad(n);
  for (int i = 0; i < n; ++i) var[i] = 0.1f * i, grad[i] = std::sin(i);
  std::vector<float> var1 = var, m1 = m, v1 = v, c1 = c;
  MakeAdamom().Step(n, grad.data(), var.data(), m.data(), v.data(), c.data());
  for (int i = 0; i < n; ++i) MakeAdamom().Step(1, &grad[i], &var1[i], &m1[i], &v1[i], &c1[i]);
  EXPECT_EQ(var, var1);
  MakeRmsprop().Step(n, grad.data(), var.data(), m.data(), v.data());
  for (int i = 0; i < n; ++i) MakeRmsprop().Step(1, &grad[i], &var1[i], &m1[i], &v1[i]);
  EXPECT_EQ(var, var1);
}

}  // namespace
}  // namespace monolith::dense_optimizers
