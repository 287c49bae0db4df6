// Engine steps: published figures of V3 and conservation laws.
#include "layer_fixture.hpp"

#include <algorithm>

using namespace jevons;
using namespace jevons::workloads;
using namespace jevons::workloads::test;

namespace {

DecodeContext step(double sequences, double context, std::string_view precision = "bf16") {
  return {
      .sequences = sequences, .context = context, .precision = precision_preset(precision, "test")};
}

double class_bytes(const OperatorGraph& g, TensorClass c) {
  double total = 0;
  for (const Operator& op : g.operators) {
    total += work_of(op).bytes[static_cast<std::size_t>(c)];
  }
  return total;
}

double projections(const OperatorGraph& g) {
  return flops(g, [](const Operator& op) {
    return is_matmul(op) &&
           (op.module == Module::attention_proj || op.module == Module::mla_up_proj);
  });
}

}  // namespace

TEST_CASE("a V3 token decodes 374.2 MFLOP of attention projections and 278,528 FLOPs a key") {
  const ModelConfig m = preset("deepseek-v3");
  const OperatorGraph g = layer_decode(m, m.layers.back(), step(1, 4096));
  CHECK(projections(g) / 1e6 == doctest::Approx(374.2).epsilon(1e-4));
  CHECK(core_flops(g) == exactly(278528.0 * 4096));
  CHECK(class_bytes(g, TensorClass::kv_cache) == exactly(1152.0 * 4096));
}

TEST_CASE("a prompt without prefix runs expanded, 81,920 FLOPs a key") {
  const ModelConfig m = preset("deepseek-v3");
  DecodeContext s = step(0, 0);
  s.prefill_tokens = 4096;
  s.prefill_position = 2048;
  const OperatorGraph g = layer_decode(m, m.layers.back(), s);
  CHECK(core_flops(g) == exactly(81920.0 * 2048 * 4096));
  CHECK(projections(g) / 4096 / 1e6 == doctest::Approx(374.2).epsilon(1e-4));
}

TEST_CASE("V3 chunks over a long prefix run expanded from 171 tokens a key on") {
  const Attention a = preset("deepseek-v3").layers.back().attention;
  CHECK(mla_absorbed_is_cheaper(a, 170, 1e6));
  CHECK_FALSE(mla_absorbed_is_cheaper(a, 171, 1e6));
  CHECK_FALSE(mla_absorbed_is_cheaper(a, 64, 32));  // no prefix to expand again
  CHECK(mla_absorbed_is_cheaper(a, 1, 4096));
}

TEST_CASE("the chosen form of an MLA chunk is the cheaper in FLOPs, prefix expansion included") {
  const ModelConfig m = preset("deepseek-v3");
  for (const double position : {500.0, 8192.0, 131072.0}) {
    double last = 0;
    for (const double tokens : {100.0, 165.0, 180.0, 400.0, 900.0}) {
      DecodeContext s = step(0, 0);
      s.prefill_tokens = tokens;
      s.prefill_position = position;
      const OperatorGraph g = layer_decode(m, m.layers[0], s);
      const double total = core_flops(g) + projections(g);
      const double prefix = std::max(0.0, position - tokens / 2);
      const double expanded = 374.2097e6 * tokens + 81920 * tokens * position + 33554432 * prefix;
      const double absorbed = 374.2097e6 * tokens + 278528 * tokens * position;
      CHECK(total == doctest::Approx(std::min(expanded, absorbed)).epsilon(1e-4));
      CHECK(total > last);
      last = total;
    }
  }
}

TEST_CASE("a mixed step has the attention of both parts and GEMMs over the sum of tokens") {
  for (const char* id : {"deepseek-v3", "llama-3.1-8b", "deepseek-v3.2-exp"}) {
    CAPTURE(id);
    const ModelConfig m = preset(id);
    const Layer& layer = m.layers[0];
    DecodeContext decode = step(32, 3000), prompt = step(0, 0), mixed = decode;
    prompt.prefill_tokens = mixed.prefill_tokens = 512;
    prompt.prefill_position = mixed.prefill_position = 256;
    const OperatorGraph d = layer_decode(m, layer, decode), p = layer_decode(m, layer, prompt);
    const OperatorGraph both = layer_decode(m, layer, mixed);
    CHECK(core_flops(both) == exactly(core_flops(d) + core_flops(p)));
    CHECK(matmul_flops(both) == exactly(matmul_flops(d) + matmul_flops(p)));
    CHECK(class_bytes(both, TensorClass::weights) <
          class_bytes(d, TensorClass::weights) + class_bytes(p, TensorClass::weights));
  }
}

TEST_CASE("a decode step reads every weight of a dense model once and every key once") {
  const ModelConfig m = preset("llama-3.1-70b");
  const DecodeContext s = step(16, 2048);
  double weights = 0, cache = 0;
  for (const Layer& layer : m.layers) {
    const OperatorGraph g = layer_decode(m, layer, s);
    weights += class_bytes(g, TensorClass::weights);
    cache += class_bytes(g, TensorClass::kv_cache);
  }
  weights += class_bytes(head_decode(m, s), TensorClass::weights);
  CHECK(weights == exactly(2 * count(m).matmul_parameters));
  CHECK(cache == exactly(16 * 2048 * kv_bytes_per_token(m, {Format::bf16, 0})));
}

TEST_CASE("windowed and chunked layers read no more keys than they see") {
  const ModelConfig oss = preset("gpt-oss-120b");
  const auto local = std::find_if(oss.layers.begin(), oss.layers.end(),
                                  [](const Layer& l) { return l.attention.window > 0; });
  REQUIRE(local != oss.layers.end());
  const double row = kv_bytes_per_token(local->attention, {Format::bf16, 0});
  CHECK(class_bytes(layer_decode(oss, *local, step(3, 9000)), TensorClass::kv_cache) ==
        exactly(3 * 128 * row));
  const ModelConfig scout = preset("llama-4-scout");
  const auto chunk = std::find_if(scout.layers.begin(), scout.layers.end(),
                                  [](const Layer& l) { return l.attention.chunk > 0; });
  REQUIRE(chunk != scout.layers.end());
  const double keys = static_cast<double>(chunk->attention.chunk) / 2;
  const double scout_row = kv_bytes_per_token(chunk->attention, {Format::bf16, 0});
  CHECK(class_bytes(layer_decode(scout, *chunk, step(3, 90000)), TensorClass::kv_cache) ==
        exactly(3 * keys * scout_row));
}

TEST_CASE("DSA at 128K: 131.0 GFLOP of indexer and 34.8 of core a token, and 656-byte records") {
  const ModelConfig m = preset("deepseek-v3.2-exp");
  DecodeContext s = step(1, 131072, "fp8-block");
  s.precision.kv_cache = {Format::fp8, 0};
  double scores = 0, core = 0;
  const auto layers = static_cast<double>(m.layers.size());
  const OperatorGraph g = layer_decode(m, m.layers.back(), s);
  scores = layers * work_of(*find(g, "idx_scores")).flops;
  core = layers * core_flops(g);
  CHECK(scores / 1e9 == doctest::Approx(131.0).epsilon(1e-3));
  CHECK(core / 1e9 == doctest::Approx(34.8).epsilon(1e-3));
  const double index = 132.0 * 131072;
  CHECK(class_bytes(g, TensorClass::kv_cache) == exactly(656.0 * 2048 + index));
}

TEST_CASE("experts of a decode step are the expected distinct ones, split over the ranks") {
  const ModelConfig m = preset("deepseek-v3");
  DecodeContext s = step(4, 1000, "fp8-block");
  s.parallelism = {.ep = 16, .dp = 16};
  s.attention_dp = true;
  const OperatorGraph g = layer_decode(m, m.layers.back(), s);
  const MoeExperts e = std::get<MoeExperts>(find(g, "experts")->shape);
  CHECK(e.tokens == exactly(64));  // each of 16 ranks brings 4
  CHECK(experts_hit(e) == doctest::Approx(222.4 / 16).epsilon(1e-3));
  const MoeExchange x = std::get<MoeExchange>(find(g, "dispatch")->shape);
  CHECK(x.low_latency);
  CHECK(x.hidden * x.bytes_per_element == exactly(7392));
  s.prefill_tokens = 2000;
  const OperatorGraph mixed = layer_decode(m, m.layers.back(), s);
  CHECK_FALSE(std::get<MoeExchange>(find(mixed, "combine")->shape).low_latency);
}

TEST_CASE("expert FLOPs of a step are conserved over layouts of the same tokens") {
  const ModelConfig m = preset("deepseek-v3");
  const auto all_ranks = [&](const Parallelism& layout, bool dp, double sequences) {
    DecodeContext s = step(sequences, 1000);
    s.parallelism = layout;
    s.attention_dp = dp;
    const double one = flops(layer_decode(m, m.layers.back(), s), [](const Operator& op) {
      return op.module == Module::experts && is_matmul(op);
    });
    return one * static_cast<double>(layout.tp * layout.dp);
  };
  const double alone = all_ranks({}, false, 64);
  CHECK(all_ranks({.tp = 8, .etp = 8}, false, 64) == exactly(alone));          // cut by width
  CHECK(all_ranks({.tp = 8, .ep = 8}, false, 64) == exactly(alone));           // cut by number
  CHECK(all_ranks({.tp = 8, .ep = 8}, true, 8) == exactly(alone));             // each brings 8
  CHECK(all_ranks({.ep = 8, .dp = 8}, true, 8) == exactly(alone));             // tp 1
  CHECK(all_ranks({.tp = 4, .ep = 8, .dp = 2}, false, 32) == exactly(alone));  // both
  CHECK(all_ranks({.tp = 8, .etp = 8}, true, 8) == exactly(alone));
}

TEST_CASE("attention data parallelism keeps heads whole, tensor parallelism splits them") {
  const ModelConfig m = preset("deepseek-v3");
  DecodeContext s = step(8, 2000);
  s.parallelism = {.tp = 8, .ep = 8};
  CHECK(std::get<MlaDecode>(find(layer_decode(m, m.layers[0], s), "decode_attn")->shape).heads ==
        16);
  s.attention_dp = true;
  const OperatorGraph g = layer_decode(m, m.layers[0], s);
  CHECK(std::get<MlaDecode>(find(g, "decode_attn")->shape).heads == 128);
  CHECK(find(g, "tp_reduce") == nullptr);
  REQUIRE(find(g, "tp_gather") != nullptr);  // the dense FFN's tokens of eight ranks
  CHECK(std::get<Collective>(find(g, "tp_gather")->shape).bytes == exactly(8 * 8 * 7168 * 2.0));
}

TEST_CASE("verification multiplies query tokens, not the cache") {
  const ModelConfig m = preset("deepseek-v3");
  DecodeContext s = step(32, 4096);
  const OperatorGraph one = layer_decode(m, m.layers[0], s);
  s.query_tokens = 2;
  const OperatorGraph two = layer_decode(m, m.layers[0], s);
  CHECK(core_flops(two) == exactly(2 * core_flops(one)));
  // Two queries that see 4096 keys on average read 4096.5: up to the second one's own.
  CHECK(class_bytes(two, TensorClass::kv_cache) ==
        exactly(class_bytes(one, TensorClass::kv_cache) * 4096.5 / 4096));
}

TEST_CASE("a recurrent layer reads and writes its state however long the context is") {
  const ModelConfig m = preset("falcon-mamba-7b");
  const Layer& layer = m.layers[0];
  const double state = count(m).state_elements_per_sequence / static_cast<double>(m.layers.size());
  for (const double context : {10.0, 1e5}) {
    const OperatorGraph g = layer_decode(m, layer, step(5, context));
    CHECK(class_bytes(g, TensorClass::kv_cache) == exactly(5 * 2 * 4 * state));
  }
}

TEST_CASE("weights are read in their own format") {
  const ModelConfig m = preset("llama-3.1-8b");
  const auto weights = [&](std::string_view p) {
    return class_bytes(layer_decode(m, m.layers[0], step(4, 100, p)), TensorClass::weights);
  };
  CHECK(weights("w8a16") == exactly(weights("bf16") / 2));
  CHECK(weights("w4a16") == exactly(weights("bf16") / 2 * (0.5 + 2.0 / 64)));
  const OperatorGraph g = layer_decode(m, m.layers[0], step(4, 100, "w4a16"));
  CHECK(find(g, "qkv_proj")->format == NumberFormat{Format::bf16, 0});
  CHECK(find(g, "cast") == nullptr);
}

TEST_CASE("step graphs of every preset, layout and mix are acyclic") {
  const std::vector<Parallelism> layouts{
      {}, {.tp = 4, .etp = 4}, {.tp = 4, .ep = 4}, {.ep = 8, .dp = 8}, {.tp = 2, .ep = 8, .dp = 4}};
  for (const ModelPreset& p : model_presets()) {
    CAPTURE(p.id);
    const ModelConfig m = preset(p.id);
    for (const Parallelism& layout : layouts) {
      for (int mix = 0; mix < 8; ++mix) {
        DecodeContext s = step(mix % 4 == 0 ? 0 : 16, 3000, mix % 2 == 0 ? "fp8-block" : "w4a16");
        s.parallelism = layout;
        s.attention_dp = mix >= 4;
        if (mix % 4 != 1) s.prefill_tokens = 700;
        s.prefill_sequences = 2;
        s.prefill_position = mix % 4 == 2 ? 5000 : 175;
        std::vector<OperatorGraph> parts{embedding_decode(m, s), head_decode(m, s)};
        for (const LayerRun& run : layer_runs(m)) {
          parts.push_back(layer_decode(m, m.layers[static_cast<std::size_t>(run.first)], s));
        }
        if (m.mtp_modules > 0) parts.push_back(mtp_input_decode(m, s));
        for (const OperatorGraph& g : parts) {
          CHECK(topological_order(g).size() == g.operators.size());
          for (const Operator& op : g.operators) {
            if (!(work_of(op).total_bytes() > 0)) FAIL_CHECK(op.name << " has no work");
            if (op.name.size() > 15) FAIL_CHECK(op.name << " allocates");
          }
        }
      }
    }
  }
}
