#include "jevons/sim/memory.hpp"

#include "jevons/hwmodels/catalogue.hpp"

#include <doctest/doctest.h>

using namespace jevons;
using namespace jevons::sim;

namespace {

Scenario job(const char* model, const char* accelerator, long count, const char* precision,
             const char* stack) {
  const hwmodels::Catalogue catalogue;
  Scenario s;
  s.model = workloads::model(model, "test");
  s.cluster = hwmodels::make_cluster(catalogue.accelerator(accelerator, "test"), count, {}, "test");
  s.precision = precision_preset(precision, "test");
  s.stack = catalogue.stack(stack, "test");
  return s;
}

Scenario v3(const char* precision) {
  Scenario s = job("deepseek-v3", "h800-sxm", 2048, precision, "deepseek-2024");
  s.parallelism.pp = 16;
  s.parallelism.ep = 64;
  s.parallelism.dp = 128;
  s.parallelism.sharding = workloads::Sharding::zero1;
  s.train.global_batch_sequences = 15360;
  s.train.schedule = Schedule::dualpipe;
  return s;
}

/// Mean over the ranks, embedding and head left out: what the published arithmetic counts.
double mean_states(const Scenario& s) {
  const double embeddings = 2.0 * 129280 * 7168;
  const auto memory = training_memory(s);
  double sum = 0;
  for (const StageMemory& m : memory.ranks) {
    sum += (m.weights + m.gradients + m.optimizer).raw();
  }
  const auto b = [&](NumberFormat f) { return activation_bytes(f); };
  const double per_parameter = weight_bytes(s.precision.weights) + b(s.precision.gradients) +
                               (b(s.precision.master) + 2 * b(s.precision.moments)) / 256;
  return (sum - 2 * embeddings * per_parameter) / 16;
}

}  // namespace

TEST_CASE("the states of DeepSeek-V3 on a rank are 18.5 GB in its FP8 recipe and 23.0 in bf16") {
  // formulas.md section 11: 0.639e9 expert and 0.954e9 dense parameters per stage copy, two copies.
  CHECK(mean_states(v3("fp8-block")) == doctest::Approx(18.5e9).epsilon(0.01));
  CHECK(mean_states(v3("bf16")) == doctest::Approx(23.0e9).epsilon(0.01));
}

TEST_CASE("a MoE layer of DeepSeek-V3 keeps the published bytes per token") {
  Scenario s = v3("bf16");
  const auto& layer = s.model.layers.back();
  CHECK(kept_bytes_per_token(s, layer) == doctest::Approx(571008));
  s.train.recompute = Recompute::modules;
  s.train.recompute_modules = {"norm", "mla_up_proj", "moe_act"};
  CHECK(kept_bytes_per_token(s, layer) == doctest::Approx(255616));
  s.precision = precision_preset("fp8-block", "test");
  // 28672 B norm inputs stay in 16 bit, dispatched rows, gate and up, q latents in 8.
  CHECK(kept_bytes_per_token(s, layer) == doctest::Approx(151680).epsilon(0.001));
}

TEST_CASE("a GPT-3 layer without recompute keeps 34 d + 5 h s bytes per token in fp16") {
  // Korthikanti et al., arXiv 2205.05198: 34 d with ungated FFN 4 d, dropout masks and statistics;
  // the fp32 statistics of softmax (4 h) are not in the paper's count.
  Scenario s = job("gpt-3-175b", "a100-80gb-sxm", 8, "fp16", "megatron-2021");
  s.train.sequence_length = 2048;
  const double d = 12288, h = 96;
  CHECK(kept_bytes_per_token(s, s.model.layers.front()) ==
        doctest::Approx(34 * d + 5 * h * 2048).epsilon(0.005));
  s.train.recompute = Recompute::selective;
  CHECK(kept_bytes_per_token(s, s.model.layers.front()) == doctest::Approx(34 * d).epsilon(0.005));
}

TEST_CASE("sequence and tensor parallelism divide the kept activations by tp") {
  Scenario s = job("llama-3.1-70b", "h100-sxm", 64, "bf16", "dgxc-25.04");
  s.parallelism.dp = 64;
  s.train.global_batch_sequences = 64;
  const double one = training_memory(s).peak().activations.raw();
  s.parallelism.tp = 8;
  s.parallelism.dp = 8;
  s.parallelism.sp = true;
  CHECK(training_memory(s).peak().activations.raw() == doctest::Approx(one / 8));
}

TEST_CASE("ZeRO stages shard optimizer, gradients and weights in this order") {
  Scenario s = job("llama-3.1-8b", "h100-sxm", 8, "bf16", "ideal");
  s.parallelism.dp = 8;
  s.train.global_batch_sequences = 8;
  const auto at = [&s](workloads::Sharding how) {
    s.parallelism.sharding = how;
    return training_memory(s).peak();
  };
  const auto none = at(workloads::Sharding::none), one = at(workloads::Sharding::zero1);
  const auto two = at(workloads::Sharding::zero2), all = at(workloads::Sharding::fsdp);
  CHECK(none.optimizer.raw() == doctest::Approx(12 * 8.03e9).epsilon(0.001));
  CHECK(one.optimizer.raw() == doctest::Approx(none.optimizer.raw() / 8));
  CHECK(two.gradients.raw() == doctest::Approx(none.gradients.raw() / 8));
  CHECK(all.weights.raw() == doctest::Approx(none.weights.raw() / 8));
  CHECK(one.gradients.raw() == none.gradients.raw());
}

TEST_CASE("a step that does not fit is answered with a change that fits") {
  Scenario s = job("llama-3.1-8b", "h100-sxm", 8, "bf16", "ideal");
  s.parallelism.dp = 8;
  s.train.global_batch_sequences = 8;
  s.train.sequence_length = 4096;
  REQUIRE_FALSE(training_memory(s).fits());  // 18 B x 8.03e9 = 145 GB of states alone
  // ZeRO-1 leaves 16 + 32 + 12 GB of states and 26 GB of activations, logits and context.
  CHECK(smallest_change_that_fits(s) == "parallelism.sharding zero2");
  s.parallelism.sharding = workloads::Sharding::zero2;
  CHECK(training_memory(s).fits());
  s.parallelism.sharding = workloads::Sharding::zero1;
  REQUIRE_FALSE(training_memory(s).fits());
  CHECK(smallest_change_that_fits(s) == R"(train.recompute ["norm","mla_up_proj","moe_act"])");
}

TEST_CASE("a model far too large for the job is answered with how many accelerators it takes") {
  Scenario s = job("llama-3.1-405b", "h100-sxm", 8, "bf16", "ideal");
  s.parallelism.tp = 8;
  s.parallelism.sp = true;
  s.parallelism.dp = 1;
  s.train.global_batch_sequences = 1024;
  s.train.sequence_length = 4096;
  // 16 B x 405e9 = 6.5 TB of states: at least 82 accelerators of 80 GB, so 128 by doubling.
  CHECK(smallest_change_that_fits(s) ==
        "cluster.count 128, parallelism.pp 16, train.recompute full");
}
