// SPDX-License-Identifier: Apache-2.0
// Configurations that make no entry are refused, and the message names table, slice, value and remedy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using testing::DefaultSlice;
using testing::MakeConfig;
using testing::MakeSlice;
using testing::ServingConfig;

std::string ErrorOf(const TableConfig& config) {
  try {
    NewEmbeddingTable(config);
  } catch (const TableError& error) {
    return error.what();
  }
  return "no error";
}

// The message for a table whose second slice went through `change`.
template <typename Change>
std::string ErrorAfter(Change change, const std::string& optimizer = "sgd", int dim = 2) {
  SliceConfig slice = DefaultSlice(dim, optimizer);
  change(&slice);
  return ErrorOf(MakeConfig({MakeSlice(1), slice}));
}

MATCHER_P(Says, part, "") { return arg.find("table 'table', slice 1: ") == 0 && arg.find(part) != std::string::npos; }

TEST(EntryConfigTest, NothingIsOptionalInTraining) {
  EXPECT_THAT(ErrorAfter([](SliceConfig* s) { s->initializer.kind = InitializerConfig::Kind::kUnset; }),
              Says("the initializer is unset; set one of zeros, ones, constants, random_uniform"));
  EXPECT_THAT(ErrorAfter([](SliceConfig* s) { s->optimizer.name.clear(); }), Says("the optimizer is unset"));
  EXPECT_THAT(ErrorAfter([](SliceConfig* s) { s->compressor.name.clear(); }), Says("set in some slices"));
  EXPECT_THAT(ErrorAfter([](SliceConfig* s) { s->dim = 0; }), Says("dim_size is 0; it must be at least 1"));
  EXPECT_THAT(ErrorOf(MakeConfig({})), ::testing::HasSubstr("table 'table' has no slices"));
}

TEST(EntryConfigTest, ServingNeedsACompressorOnly) {
  SliceConfig slice = MakeSlice(1);
  slice.compressor.name.clear();
  EXPECT_THAT(ErrorOf(ServingConfig({MakeSlice(1), slice})), Says("the compressor is unset; set one of fp32"));
  slice.compressor.name = "fp8";
  EXPECT_THAT(ErrorOf(ServingConfig({MakeSlice(1), slice})), Says("the compressor 'fp8' is unknown"));
  slice.compressor.name = "fp16";
  slice.optimizer = {};
  slice.initializer = {};
  EXPECT_EQ(ErrorOf(ServingConfig({slice})), "no error");
}

TEST(EntryConfigTest, SkipZeroIsForServing) {
  TableConfig config = MakeConfig({MakeSlice(1)});
  config.skip_zero_embedding = true;
  EXPECT_THAT(ErrorOf(config), ::testing::HasSubstr("skip_zero_embedding is for serving entries"));
}

TEST(EntryConfigTest, OptimizersThatNoConfigDescribes) {
  EXPECT_THAT(ErrorAfter([](SliceConfig* s) { s->optimizer.enable_dynamic_wd = true; }, "dynamic_wd_adagrad"),
              Says("dynamic_wd_adagrad: enable_dynamic_wd is true"));
  EXPECT_THAT(ErrorAfter([](SliceConfig*) {}, "batch_softmax"), Says("batch_softmax: dim_size is 2; it must be 1"));
}

TEST(EntryConfigTest, DcNeedsAnOptimizerAndPlainReads) {
  const auto based_on = [](const std::string& name) {
    return [name](SliceConfig* s) {
      s->optimizer.base = std::make_shared<OptimizerConfig>();
      const_cast<OptimizerConfig&>(*s->optimizer.base).name = name;
    };
  };
  EXPECT_THAT(ErrorAfter([](SliceConfig*) {}, "dc"), Says("dc: base is unset"));
  EXPECT_THAT(ErrorAfter(based_on(""), "dc"), Says("dc: base is unset"));
  EXPECT_THAT(ErrorAfter(based_on("dc"), "dc"), Says("dc: base is dc itself"));
  EXPECT_THAT(ErrorAfter(based_on("sdg"), "dc"), Says("the optimizer 'sdg' is unknown"));
  EXPECT_EQ(ErrorAfter(based_on("sgd"), "dc"), "no error");
  const auto negative = [&](SliceConfig* s) {
    based_on("sgd")(s);
    s->optimizer.lambda = -1;
  };
  EXPECT_THAT(ErrorAfter(negative, "dc"), Says("dc: lambda_ is -1.000000; it must be >= 0"));
  const auto compressed = [&](SliceConfig* s) {
    based_on("sgd")(s);
    s->compressor.name = "fixed_r8";
    s->compressor.r = 1;
  };
  EXPECT_THAT(ErrorAfter(compressed, "dc"), Says("lookups through fixed_r8 give other floats"));
}

TEST(EntryConfigTest, OptimizerSettingsOutOfRange) {
  const auto set = [](float OptimizerConfig::*field, float value) {
    return [field, value](SliceConfig* s) { s->optimizer.*field = value; };
  };
  for (const char* name : {"sgd", "adagrad", "rmsprop"}) {
    EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::weight_decay_factor, -1), name),
                Says(std::string(name) + ": weight_decay_factor is -1.000000; it must be >= 0"));
  }
  for (const char* name : {"adagrad", "ftrl", "group_adagrad", "group_ftrl", "dynamic_wd_adagrad"}) {
    EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::initial_accumulator_value, -1), name),
                Says(": initial_accumulator_value is -1.000000; it must be >= 0"));
  }
  for (const char* name : {"adam", "amsgrad"}) {
    EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::beta1, 1), name), Says(": beta1 is 1.000000; it must be in [0, 1)"));
    EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::beta2, NAN), name), Says(": beta2 is nan; it must be in [0, 1)"));
    EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::epsilon, 0), name), Says(": epsilon is 0.000000; it must be > 0"));
  }
  for (const char* name : {"ftrl", "group_ftrl"}) {
    EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::beta, -1), name), Says(": beta is -1.000000; it must be >= 0"));
    EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::l1_regularization_strength, -1), name), Says("l1_regularization"));
    EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::l2_regularization_strength, -1), name), Says("l2_regularization"));
  }
  for (const char* name : {"momentum", "rmsprop", "rmspropv2"}) {
    EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::momentum, 1), name), Says("momentum is 1.000000; it must be in [0"));
  }
  EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::momentum, 1.5f), "moving_average"), Says("it must be in [0, 1]"));
  EXPECT_THAT(ErrorAfter(set(&OptimizerConfig::averaging_ratio, 1), "adadelta"), Says("averaging_ratio is 1.000000"));
}

TEST(EntryConfigTest, CompressorSettingsOutOfRange) {
  const auto r8 = [](float r) { return [r](SliceConfig* s) { s->compressor = {"fixed_r8", r, 0, 0, 0, 0}; }; };
  EXPECT_THAT(ErrorAfter(r8(0)), Says("fixed_r8: r is 0.000000; it must be > 0"));
  EXPECT_THAT(ErrorAfter(r8(INFINITY)), Says("fixed_r8: r is inf"));
  const auto one_bit = [](int64_t steps, float init, float max) {
    return [=](SliceConfig* s) { s->compressor = {"one_bit", 0, steps, init, max, 1}; };
  };
  EXPECT_THAT(ErrorAfter(one_bit(0, 1, 1)), Says("one_bit: step_size is 0; it must be at least 1 step"));
  EXPECT_THAT(ErrorAfter(one_bit(1, 0, 1)), Says("one_bit: init_scale is 0.000000"));
  EXPECT_THAT(ErrorAfter(one_bit(1, 1, -1)), Says("one_bit: max_scale is -1.000000"));
}

}  // namespace
}  // namespace monolith
