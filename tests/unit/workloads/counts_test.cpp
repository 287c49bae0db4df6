// Counts against closed forms worked by hand, against the tensor list of a published checkpoint,
// and against conservation: parts add up, shortening a model removes whole layers.
#include "golden.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

using namespace jevons;
using namespace jevons::workloads;

namespace {

constexpr NumberFormat kBf16{Format::bf16, 0.0};
constexpr NumberFormat kFp8{Format::fp8, 0.0};

ModelConfig published(const std::string& name) {
  return model(std::string(JEVONS_SOURCE_DIR) + "/tests/data/configs/" + name + ".json", "test");
}

}  // namespace

TEST_CASE("counts: DeepSeek-V3's parts are those worked out by hand") {
  const ModelConfig v3 = preset("deepseek-v3");
  const Layer& dense = v3.layers.front();
  const Layer& sparse = v3.layers.back();
  // 7168·1536 + 1536·128·192 + 7168·576 + 512·128·256 + 128·128·7168
  CHECK(attention_parameters(v3, sparse.attention) == 187'105'280.0);
  CHECK(ffn_parameters(v3, dense.ffn) == 396'361'728.0);  // 3·7168·18432
  CHECK(router_parameters(v3, sparse.ffn) == 1'835'008.0);
  // One expert is 3·7168·2048; a token meets 8 routed and 1 shared.
  CHECK(ffn_matmul_parameters(v3, sparse.ffn) == 9 * 44'040'192.0);
  CHECK(ffn_parameters(v3, sparse.ffn) == 257 * 44'040'192.0 + 1'835'008.0);
  CHECK(count(v3).mtp_parameters == doctest::Approx(11.610e9).epsilon(1e-4));
  // 685e9 on the model hub: main model, MTP module, second copy of embedding and head.
  const ModelCounts c = count(v3);
  const double hub = c.parameters_total + c.mtp_parameters + 2 * 129280.0 * 7168;
  CHECK(hub == doctest::Approx(684.5e9).epsilon(1e-4));
}

TEST_CASE("counts: Kimi-K2's checkpoint holds exactly our parameters, its norms and its scales") {
  // Tensor list of moonshotai/Kimi-K2-Instruct, 61 safetensors files: 1,026,470,731,056 elements.
  const double norms = 61.0 * (2 * 7168 + 512 + 1536) + 7168;
  const double inverse_frequencies = 61.0 * 56;
  const double attention_scales = 61.0 * (5 * 56 + 128 * 4 + 56 * 64 + 12 * 56 + 96 * 12);
  const double dense_scales = 3.0 * 56 * 144;
  const double expert_scales = 60.0 * (384 + 1) * 3 * 56 * 16;
  const double routing_bias = 60.0 * 384;
  const double total = count(published("kimi-k2-instruct")).parameters_total;
  CHECK(total + norms + inverse_frequencies + attention_scales + dense_scales + expert_scales +
            routing_bias ==
        1'026'470'731'056.0);
}

TEST_CASE("counts: configs as published, with all their other keys, equal the presets") {
  const auto same = [](const char* file, const char* id) {
    const ModelConfig a = published(file), b = preset(id);
    CAPTURE(file);
    CHECK(a.layers == b.layers);
    CHECK(count(a).parameters_total == count(b).parameters_total);
    CHECK(a.published_weights == b.published_weights);
  };
  same("kimi-k2-instruct", "kimi-k2");
  same("llama-3.3-70b-instruct", "llama-3.1-70b");
  same("llama-4-scout-instruct", "llama-4-scout");
}

TEST_CASE("counts: DeepSeek-V2's cache of 6 bits saves 93.3 % against DeepSeek-67B in bf16") {
  const double v2 = kv_bytes_per_token(preset("deepseek-v2"), {Format::bits, 6.0});
  const double old = kv_bytes_per_token(preset("deepseek-67b"), kBf16);
  CHECK(v2 == 25'920.0);
  CHECK(1 - v2 / old == doctest::Approx(0.9334).epsilon(1e-4));
}

TEST_CASE("counts: V3's latent cache is 56.9 times smaller than that of 128 plain heads") {
  const Attention mla = preset("deepseek-v3").layers.front().attention;
  Attention mha;
  mha.heads = mha.kv_heads = 128;
  mha.qk_dim = mha.v_dim = 128;
  const double ratio = kv_bytes_per_token(mha, kBf16) / kv_bytes_per_token(mla, kBf16);
  CHECK(ratio == doctest::Approx(56.9).epsilon(1e-3));
  mha.kv_heads = 8;
  CHECK(1 - kv_bytes_per_token(mla, kBf16) / kv_bytes_per_token(mha, kBf16) ==
        doctest::Approx(0.719).epsilon(1e-3));
}

TEST_CASE("counts: an attention score of V3 costs 81,920 FLOP per key") {
  const Attention mla = preset("deepseek-v3").layers.front().attention;
  CHECK(attention_flops(mla, 1.0) == 81'920.0);
  CHECK(attention_flops(mla, 4096.0) == 81'920.0 * 4096);
}

TEST_CASE("counts: the V3.2 cache holds 656 bytes in fp8 and 132 bytes of index keys") {
  const Attention dsa = preset("deepseek-v3.2-exp").layers.front().attention;
  CHECK(kv_bytes_per_token(dsa, kFp8) == 656.0);
  CHECK(kv_bytes_per_token(dsa, kFp8, true) == 656.0 + 132.0);
  CHECK(kv_bytes_per_token(dsa, kBf16, true) == 1152.0 + 132.0);
  const ModelConfig model = preset("deepseek-v3.2-exp");
  const double indexer =
      count(model).parameters_total - count(preset("deepseek-v3")).parameters_total;
  CHECK(indexer == doctest::Approx(0.8515e9).epsilon(1e-4));
}

TEST_CASE("counts: recurrent states have the published sizes and do not grow") {
  const ModelConfig falcon = preset("falcon-mamba-7b");
  CHECK(count(falcon).state_elements_per_sequence == 10'485'760.0);
  CHECK(kv_bytes_of_sequence(falcon, kBf16, 10) == 2 * 20'971'520.0);
  CHECK(kv_bytes_of_sequence(falcon, kFp8, 1e6) == 2 * 20'971'520.0);
  CHECK(kv_bytes_of_sequence(preset("mamba2-2.7b"), kBf16, 1) ==
        doctest::Approx(2 * 86.6e6).epsilon(1e-3));
  const ModelConfig jamba = preset("jamba-v0.1");
  CHECK(kv_bytes_of_sequence(jamba, kBf16, 1000) == 16'384.0 * 1000 + 2 * 9'175'040.0);
}

TEST_CASE("counts: windows and chunks bound what a sequence keeps") {
  const ModelConfig oss = preset("gpt-oss-20b");  // 12 of 24 layers keep 128 tokens
  const double per_layer = 2.0 * 8 * 64 * 2;
  CHECK(kv_bytes_of_sequence(oss, kBf16, 100) == 24 * per_layer * 100);
  CHECK(kv_bytes_of_sequence(oss, kBf16, 8192) == per_layer * (12 * 8192.0 + 12 * 128.0));
  const ModelConfig scout = preset("llama-4-scout");  // 36 of 48 layers keep 8192 tokens
  const double wide = 2.0 * 8 * 128 * 2;
  CHECK(kv_bytes_of_sequence(scout, kBf16, 32768) == wide * (12 * 32768.0 + 36 * 8192.0));
}

TEST_CASE("counts: mean keys agree with a sum over all queries") {
  const double s = 1000;
  for (const long window : {0L, 1L, 37L, 999L, 1000L, 5000L}) {
    Attention a;
    a.window = window;
    double total = 0;  // query i sees i + 1 keys; s/2 stands for (s + 1)/2 by convention
    for (int i = 0; i < 1000; ++i) {
      const double seen = i + 0.5;
      const double limit = static_cast<double>(window);
      total += window > 0 && seen > limit ? limit : seen;
    }
    CAPTURE(window);
    CHECK(mean_keys(a, s, true) == doctest::Approx(total / s).epsilon(2e-3));
  }
  Attention chunked;
  chunked.chunk = 250;
  CHECK(mean_keys(chunked, s, true) == 125.0);
  CHECK(mean_keys(chunked, s, false) == 250.0);
  CHECK(mean_keys(chunked, 100, true) == 50.0);
}

TEST_CASE("counts: causal attention is half of non-causal and vanishes for short sequences") {
  for (const char* id : {"llama-3.1-8b", "deepseek-v3", "qwen3-30b-a3b"}) {
    const ModelConfig m = preset(id);
    const double matmuls = 6 * count(m).matmul_parameters;
    const TrainingFlops f = training_flops_per_token(m, 4096, false);
    CHECK((f.noncausal - matmuls) == doctest::Approx(2 * (f.causal - matmuls)));
    CHECK(training_flops_per_token(m, 1, false).causal == doctest::Approx(matmuls).epsilon(1e-3));
  }
  const TrainingFlops with = training_flops_per_token(preset("deepseek-v3"), 4096, true);
  const TrainingFlops without = training_flops_per_token(preset("deepseek-v3"), 4096, false);
  CHECK(with.causal / without.causal - 1 == doctest::Approx(0.0408).epsilon(1e-3));
}

TEST_CASE("counts: layer runs cover every layer once and equal layers only") {
  for (const ModelPreset& p : model_presets()) {
    const ModelConfig m = preset(p.id);
    long next = 0;
    for (const LayerRun& run : layer_runs(m)) {
      CHECK(run.first == next);
      CHECK(run.count > 0);
      for (long i = run.first; i < run.first + run.count; ++i) {
        CHECK(m.layers[static_cast<std::size_t>(i)] ==
              m.layers[static_cast<std::size_t>(run.first)]);
      }
      next += run.count;
    }
    CHECK(next == static_cast<long>(m.layers.size()));
  }
}

TEST_CASE("counts: Nemotron-H's pattern gives its published size") {
  // nvidia/NVIDIA-Nemotron-Nano-12B-v2: 12.31e9; -9B-v2: 8.9e9 parameters (model cards).
  const Json all = test_document("data/inline_models.json");
  int seen = 0;
  for (const Json& entry : all.at("models")) {
    const Json& config = entry.at("model");
    if (!config.is_object() || config.value("model_type", "") != "nemotron_h") continue;
    const ModelConfig m = model_from_config(config, "test");
    const double figure = m.hidden == 5120 ? 12.31e9 : 8.9e9;
    CHECK(count(m).parameters_total == doctest::Approx(figure).epsilon(0.01));
    ++seen;
  }
  CHECK(seen == 2);
}
