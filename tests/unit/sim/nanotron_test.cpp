// What nanotron's own source says of its pipeline stages and its memory figure, checked by hand.
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/sim/fit.hpp"
#include "jevons/sim/memory.hpp"
#include "jevons/sim/training.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace jevons;
using namespace jevons::sim;

namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

/// The 1.3B model of the sweep: a layer holds 2^26 matrix parameters, the head 2^28.
Scenario sweep(long tp, long pp, long dp, workloads::Sharding sharding) {
  const hwmodels::Catalogue catalogue;
  Scenario s;
  s.model = workloads::model_from_config(
      parse_json(R"({"model_type":"llama","hidden_size":2048,"num_hidden_layers":16,
        "num_attention_heads":32,"num_key_value_heads":32,"head_dim":64,"intermediate_size":8192,
        "vocab_size":131072,"max_position_embeddings":4096,"tie_word_embeddings":true,
        "hidden_act":"silu"})",
                 "test"),
      "test");
  s.cluster =
      hwmodels::make_cluster(catalogue.accelerator("h100-sxm", "test"), tp * pp * dp, {}, "test");
  s.precision = precision_preset("bf16", "test");
  s.stack = catalogue.stack("nanotron", "test");
  s.parallelism.tp = tp;
  s.parallelism.sp = tp > 1;
  s.parallelism.pp = pp;
  s.parallelism.dp = dp;
  s.parallelism.sharding = sharding;
  s.train.sequence_length = 4096;
  s.train.global_batch_sequences = 256;
  return s;
}

std::vector<long> layers_of(const std::vector<StageLayout>& stages) {
  std::vector<long> counts;
  for (const StageLayout& stage : stages) counts.push_back(stage.layers);
  return counts;
}

}  // namespace

TEST_CASE("stages filled by compute: sixteen layers and a head worth four of them") {
  // 20 units; a stage ends with the block that passes its share.
  using workloads::Sharding;
  const auto two = stage_layout(sweep(1, 2, 8, Sharding::zero1));
  CHECK(layers_of(two) == std::vector<long>{11, 5});
  CHECK(two[1].head);
  const auto four = stage_layout(sweep(1, 4, 8, Sharding::zero1));
  CHECK(layers_of(four) == std::vector<long>{6, 5, 5, 0});
  CHECK(four[3].head);
  const auto eight = stage_layout(sweep(1, 8, 8, Sharding::zero1));
  CHECK(layers_of(eight) == std::vector<long>{3, 3, 2, 3, 2, 3, 0, 0});
  CHECK(eight[6].head);
  CHECK_FALSE(eight[7].head);
}

TEST_CASE("stages filled by compute: every layer once, whatever the depth") {
  for (const long pp : {2, 4, 8, 16}) {
    long next = 0, heads = 0;
    for (const StageLayout& stage : stage_layout(sweep(1, pp, 1, workloads::Sharding::none))) {
      if (stage.layers > 0) CHECK(stage.first_layer == next);
      next += stage.layers;
      heads += stage.head ? 1 : 0;
    }
    CHECK(next == 16);
    CHECK(heads == 1);
  }
}

TEST_CASE("the optimizer's update holds 20 bytes a parameter, sharded 10 and 14 over dp") {
  // Rows swp-001, swp-101 and swp-142 as logged, in GiB of two decimals.
  using workloads::Sharding;
  const auto update = [](long dp, Sharding how) {
    return training_memory(sweep(1, 1, dp, how)).update.raw() / kGiB;
  };
  CHECK(update(8, Sharding::none) == doctest::Approx(25.07).epsilon(0.01));
  CHECK(update(32, Sharding::zero1) == doctest::Approx(13.12).epsilon(0.02));
  CHECK(update(64, Sharding::zero1) == doctest::Approx(12.84).epsilon(0.02));
}

TEST_CASE("a job beyond its memory loses time to its allocator only after the warm-up") {
  Scenario s = sweep(1, 1, 8, workloads::Sharding::zero1);
  s.train.micro_batch_sequences = 16;
  REQUIRE_FALSE(training_memory(s).fits());
  const auto fixed = [&](double batch) {
    s.train.global_batch_sequences = batch;
    return plan_training(s).host_per_step.raw();
  };
  const double base = s.stack.at("step_fixed_s");
  CHECK(fixed(128) == doctest::Approx(base));  // one micro-batch
  const double once = fixed(256) - base;
  CHECK(once > 0.5);
  CHECK(fixed(512) - base == doctest::Approx(3 * once));
  s.train.micro_batch_sequences = 1;
  REQUIRE(training_memory(s).fits());
  CHECK(fixed(256) == doctest::Approx(base));
}

TEST_CASE("fit: a hidden constant of a training stack is found from step times") {
  std::vector<Scenario> scenarios;
  for (const long dp : {2, 8, 32}) {
    scenarios.push_back(sweep(2, 1, dp, workloads::Sharding::zero1));
  }
  std::vector<FitSample> samples;
  for (Scenario& s : scenarios) {
    Scenario truth = s;
    truth.stack.constants.set("elementwise_efficiency_scale", {0.8, {"test", Mark::assumed}, ""});
    samples.push_back(
        {"step", &s, "step_time_s", closed_form(plan_training(truth)).step.raw(), ""});
  }
  const std::vector<FitConstant> constants{
      {"elementwise_efficiency_scale", kStackScope + "nanotron", 0.6, 0.2, 2}};
  const FitResult result = fit(samples, constants, {.outlier = 0.08, .prior = 5});
  CHECK(result.constants[0].after == doctest::Approx(0.8).epsilon(0.02));
  CHECK(result.constants[0].rows == 3);
}
