// The counts of every shipped model against figures worked out apart from this program, and against
// what its makers published.
#include "golden.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace jevons;
using namespace jevons::workloads;

namespace {

constexpr NumberFormat kBf16{Format::bf16, 0.0};

bool equal(const Json& computed, const char* key, double ours) {
  if (!computed.contains(key)) return true;
  const double expected = computed.at(key).get<double>();
  CHECK_MESSAGE(ours == expected, key);
  return ours == expected;
}

void check_flops(const Json& computed, const ModelConfig& model) {
  const TrainingFlops plain = training_flops_per_token(model, 4096, false);
  equal(computed, "train_flops_per_token_4096_causal", plain.causal);
  equal(computed, "train_flops_per_token_4096_noncausal", plain.noncausal);
  const TrainingFlops mtp = training_flops_per_token(model, 4096, true);
  equal(computed, "train_flops_per_token_4096_causal_with_mtp", mtp.causal);
  equal(computed, "train_flops_per_token_4096_noncausal_with_mtp", mtp.noncausal);
  ModelConfig open = model;
  for (Layer& layer : open.layers) layer.attention.window = layer.attention.chunk = 0;
  equal(computed, "train_flops_per_token_4096_causal_ignoring_windows",
        training_flops_per_token(open, 4096, false).causal);
}

}  // namespace

TEST_CASE("golden: every computed integer of every model is met exactly") {
  int models = 0;
  for (const auto& [id, entry] : golden_models().at("models").items()) {
    CAPTURE(id);
    const Json& computed = entry.at("computed");
    const ModelConfig model = preset(id);
    const ModelCounts c = count(model);
    // The tables leave Switch-C's router gate out, against their own definition of the totals.
    const double gate = id == "switch-c" ? c.router_parameters : 0.0;
    if (id == "switch-c") CHECK(gate == 30.0 * 2080 * 2048);
    equal(computed, "total_parameters", c.parameters_total - gate);
    equal(computed, "matmul_parameters_per_token", c.matmul_parameters);
    equal(computed, "router_parameters", c.router_parameters - gate);
    equal(computed, "active_parameters_head_only", c.parameters_active - gate);
    equal(computed, "active_parameters_with_embedding", c.parameters_active_with_embedding - gate);
    equal(computed, "mtp_parameters", c.mtp_parameters);
    equal(computed, "kv_elements_per_token", c.kv_elements_per_token);
    equal(computed, "kv_bytes_per_token_bf16", kv_bytes_per_token(model, kBf16));
    equal(computed, "recurrent_state_elements_per_sequence", c.state_elements_per_sequence);
    check_flops(computed, model);
    ++models;
  }
  CHECK(models == 40);
}

TEST_CASE("golden: parameters lie within 5 % of every published total, most within 1.2 %") {
  int close = 0, all = 0;
  for (const auto& [id, entry] : golden_models().at("models").items()) {
    const Json& published = entry.at("published");
    if (!published.contains("total_parameters")) continue;
    const double figure = published.at("total_parameters").at("value").get<double>();
    const double error = count(preset(id)).parameters_total / figure - 1;
    CAPTURE(id);
    CHECK(std::abs(error) < 0.05);  // "7B" is 6.74e9, "1T" of Kimi-K2 is 1.026e12
    ++all;
    if (std::abs(error) < 0.012) ++close;
  }
  CHECK(all == 39);
  CHECK(close >= 34);
}

TEST_CASE("golden: published active parameters are met by one of the two conventions within 7 %") {
  for (const auto& [id, entry] : golden_models().at("models").items()) {
    const Json& published = entry.at("published");
    if (!published.contains("active_parameters")) continue;
    const double figure = published.at("active_parameters").at("value").get<double>();
    const ModelCounts c = count(preset(id));
    const double low = c.parameters_active / figure - 1;
    const double high = c.parameters_active_with_embedding / figure - 1;
    CAPTURE(id);
    CHECK(std::min(std::abs(low), std::abs(high)) < 0.07);
  }
}

TEST_CASE(
    "golden: FLOP per token of every convention check is exact and within 1.1 % of the published") {
  for (const Json& check : golden_models().at("flop_convention_checks")) {
    ModelConfig model = preset(check.at("model").get<std::string>());
    if (check.contains("vocab_size")) model.vocab = check.at("vocab_size").get<long>();
    const bool causal = check.at("attention") == "causal";
    const double sequence = check.at("sequence_length").get<double>();
    const TrainingFlops flops =
        training_flops_per_token(model, sequence, check.at("mtp").get<bool>());
    const double ours = causal ? flops.causal : flops.noncausal;
    const double error = ours / check.at("published_flops_per_token").get<double>() - 1;
    CAPTURE(model.id);
    CHECK(ours == check.at("computed_flops_per_token").get<double>());
    CHECK(std::abs(error) < 0.011);
  }
}

TEST_CASE("golden: every check that counts alone decide holds within its tolerance") {
  const auto value = [](const std::string& id) -> double {
    const auto bf16 = [](const std::string& m) { return kv_bytes_per_token(preset(m), kBf16); };
    if (id == "kv.v3") return bf16("deepseek-v3");
    if (id == "kv.qwen25-72b") return bf16("qwen2.5-72b");
    if (id == "kv.llama405") return bf16("llama-3.1-405b");
    if (id == "kv.v2.elements") return count(preset("deepseek-v2")).kv_elements_per_token;
    if (id == "kv.v2lite.elements") return count(preset("deepseek-v2-lite")).kv_elements_per_token;
    if (id == "kv.v2.reduction") {
      const double six_bits = kv_bytes_per_token(preset("deepseek-v2"), {Format::bits, 6.0});
      return 1 - six_bits / bf16("deepseek-67b");
    }
    if (id == "param.v3.total") return count(preset("deepseek-v3")).parameters_total;
    if (id == "param.v3.active") return count(preset("deepseek-v3")).parameters_active;
    if (id == "param.v3.mtp") return count(preset("deepseek-v3")).mtp_parameters;
    if (id == "param.v2.total") return count(preset("deepseek-v2")).parameters_total;
    if (id == "param.v2lite") return count(preset("deepseek-v2-lite")).parameters_total;
    const auto flops = [](const std::string& m) {
      return training_flops_per_token(preset(m), 4096, false).causal;
    };
    if (id == "flops.v3") return flops("deepseek-v3");
    if (id == "flops.v2") return flops("deepseek-v2");
    if (id == "flops.llama405") return flops("llama-3.1-405b");
    if (id == "flops.qwen72") return flops("qwen2.5-72b");
    return std::nan("");
  };
  int checked = 0;
  for (const Json& check : golden_models().at("golden_checks")) {
    const double ours = value(check.at("id").get<std::string>());
    if (std::isnan(ours)) continue;
    const double figure = check.at("value").get<double>();
    const double tolerance = check.at("tolerance_relative").get<double>();
    CAPTURE(check.at("id").get<std::string>());
    CHECK(std::abs(ours / figure - 1) <= tolerance);
    ++checked;
  }
  CHECK(checked == 15);
}
