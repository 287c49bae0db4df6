// Reading configs: every model that measured cases use, what is refused and how it is said, and
// that no byte string gets through as anything but an Error.
#include "golden.hpp"

#include "jevons/core/error.hpp"
#include "jevons/workloads/embedded.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

using namespace jevons;
using namespace jevons::workloads;

namespace {

Json config_of(const std::string& id) {
  for (const EmbeddedFile& file : data_files()) {
    if (file.path == "models/" + id + ".json") return parse_json(file.text, id).at("config");
  }
  throw std::runtime_error("no preset " + id);
}

/// The Error that reading `config` throws, as "where | message | hint"; "" when it reads.
std::string refusal(const Json& config) {
  try {
    (void)model_from_config(config, "config.json");
  } catch (const Error& error) {
    CHECK(error.exit_code() == 3);
    return error.where() + " | " + error.message() + " | " + error.hint();
  }
  return "";
}

std::string refusal(const std::string& id, const std::string& key, const Json& value) {
  Json config = config_of(id);
  config[key] = value;
  return refusal(config);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("config: every model that measured cases describe or override reads") {
  const Json document = test_document("data/inline_models.json");
  for (const Json& entry : document.at("models")) {
    CAPTURE(entry.dump());
    const Json& what = entry.at("model");
    const ModelConfig m =
        what.is_object() ? model_from_config(what, "scenario", "/model")
        : entry.contains("model_overrides")
            ? model(what.get<std::string>(), entry.at("model_overrides"), "/model_overrides")
            : preset(what.get<std::string>());
    CHECK(count(m).parameters_total > 1e6);
    CHECK(std::isfinite(training_flops_per_token(m, 4096, true).noncausal));
  }
}

TEST_CASE("config: an unknown model_type names the nearest known ones") {
  const std::string text = refusal("llama-3.1-8b", "model_type", "lama");
  CHECK(contains(text, "config.json: /model_type"));
  CHECK(contains(text, "llama"));
  CHECK(contains(refusal("deepseek-v3", "model_type", "deepseek_v9"), "deepseek_v3"));
}

TEST_CASE("config: a key a family cannot do without is named when it is missing") {
  const auto without = [](const std::string& id, const std::string& key) {
    Json config = config_of(id);
    config.erase(key);
    return refusal(config);
  };
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size", "vocab_size"}) {
    CAPTURE(key);
    CHECK(contains(without("llama-3.1-8b", key), "missing key '" + std::string(key) + "'"));
  }
  CHECK(contains(without("deepseek-v3", "kv_lora_rank"), "kv_lora_rank"));
  CHECK(contains(without("deepseek-v3.2-exp", "index_topk"), "index_topk"));
  CHECK(contains(without("mixtral-8x7b", "num_local_experts"), "num_local_experts"));
  CHECK(contains(without("minimax-text-01", "attn_type_list"), "attn_type_list"));
  CHECK(contains(without("retnet-6.7b", "decoder_retention_heads"), "decoder_retention_heads"));
  CHECK(contains(refusal("dbrx", "ffn_config", Json::object()), "/ffn_config"));
}

TEST_CASE("config: absurd values are refused with the pointer and the range") {
  struct Case {
    const char* id;
    const char* key;
    Json value;
    const char* said;
  };
  const std::vector<Case> cases{
      {"llama-3.1-8b", "num_hidden_layers", 0, "/num_hidden_layers"},
      {"llama-3.1-8b", "num_hidden_layers", -4, "at least 1"},
      {"llama-3.1-8b", "hidden_size", 1e18, "/hidden_size"},
      {"llama-3.1-8b", "hidden_size", 4096.5, "whole number"},
      {"llama-3.1-8b", "hidden_size", "wide", "/hidden_size"},
      {"llama-3.1-8b", "num_key_value_heads", 5, "do not divide"},
      {"llama-3.1-8b", "num_key_value_heads", 64, "do not divide"},
      {"llama-3.1-8b", "tie_word_embeddings", 1, "true or false"},
      {"mixtral-8x7b", "num_experts_per_tok", 9, "9 of 8 experts"},
      {"mixtral-8x7b", "sliding_window", -1, "/sliding_window"},
      {"deepseek-v3", "topk_group", 9, "/topk_group"},
      {"deepseek-v3", "n_group", 7, "/n_group"},
      {"deepseek-v3", "num_experts_per_tok", 300, "/num_experts_per_tok"},
      {"gpt-oss-20b", "num_hidden_layers", 25, "24 entries for 25 layers"},
      {"gpt-oss-20b", "layer_types", "sliding_attention", "/layer_types"},
      {"qwen3-30b-a3b", "mlp_only_layers", Json::array({48}), "/mlp_only_layers/0"},
      {"minimax-text-01", "num_hidden_layers", 79, "/attn_type_list"},
      {"jamba-v0.1", "attn_layer_offset", 8, "/attn_layer_offset"},
      {"mamba2-2.7b", "num_heads", 81, "/num_heads"},
      {"deepseek-v3", "quantization_config", Json{{"quant_method", "magic"}}, "magic"},
      {"deepseek-v3", "quantization_config", Json::array(), "/quantization_config"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.key);
    const std::string text = refusal(c.id, c.key, c.value);
    CHECK_MESSAGE(contains(text, c.said), text);
  }
  CHECK(contains(refusal(Json::array()), "expected an object"));
}

TEST_CASE("config: a key that does not bear on cost changes nothing in a file") {
  const ModelConfig plain = model_from_config(config_of("llama-3.1-8b"), "a");
  Json config = config_of("llama-3.1-8b");
  config["architectures"] = {"LlamaForCausalLM"};
  config["some_future_key"] = {{"deep", 1}};
  CHECK(model_from_config(config, "a").layers == plain.layers);
}

TEST_CASE("config: an inline object without model_type refuses unknown keys") {
  Json config = {{"hidden_size", 1024},       {"num_hidden_layers", 4}, {"num_attention_heads", 8},
                 {"intermediate_size", 4096}, {"vocab_size", 1000},     {"gated_mlp", false}};
  CHECK(refusal(config) == "");
  config["num_kv_heads"] = 4;
  CHECK(contains(refusal(config), "/num_kv_heads | unknown key"));
  config.erase("num_kv_heads");
  config["position_embedding"] = "sideways";
  CHECK(contains(refusal(config), "alibi"));
}

TEST_CASE("config: weight formats of the published checkpoints are told apart") {
  const auto format = [](const char* id) { return preset(id).published_weights; };
  CHECK(format("deepseek-v3")->format == Format::fp8_block);
  CHECK(format("gpt-oss-120b")->format == Format::mxfp4);
  CHECK(format("bitnet-b1.58-2b4t")->format == Format::ternary);
  CHECK_FALSE(format("llama-3.1-8b").has_value());
  const auto given = [](const Json& quantization) {
    Json config = config_of("llama-3.1-8b");
    config["quantization_config"] = quantization;
    return model_from_config(config, "a").published_weights->format;
  };
  CHECK(given({{"quant_method", "awq"}, {"bits", 4}}) == Format::int4);
  CHECK(given({{"quant_method", "modelopt"}, {"quant_algo", "NVFP4"}}) == Format::nvfp4);
  const Json weights{{"weights", {{"num_bits", 4}, {"type", "int"}}}};
  CHECK(given({{"quant_method", "compressed-tensors"},
               {"config_groups", {{"group_0", weights}}}}) == Format::int4);
}

TEST_CASE("config: overrides replace keys, shorten per-layer lists and refuse unknown keys") {
  const ModelConfig v2 =
      model("deepseek-v2", Json{{"num_hidden_layers", 4}, {"first_k_dense_replace", 1}}, "/o");
  CHECK(v2.layers.size() == 4);
  CHECK(v2.layers[0].ffn.kind == FfnKind::dense);
  CHECK(v2.layers[1].ffn.kind == FfnKind::moe);
  CHECK(model("gpt-oss-20b", Json{{"num_hidden_layers", 6}}, "/o").layers.size() == 6);
  CHECK(model("deepseek-v3", Json{{"num_nextn_predict_layers", 0}}, "/o").mtp_modules == 0);
  CHECK(model("llama-3.1-8b", Json{{"num_nextn_predict_layers", 2}}, "/o").mtp_modules == 2);
  CHECK_THROWS_AS((void)model("llama-3.1-8b", Json{{"num_hiden_layers", 2}}, "/o"), Error);
  CHECK_THROWS_AS((void)model("llama-3.1-8b", Json{{"num_hidden_layers", 0}}, "/o"), Error);
  CHECK_THROWS_AS((void)model("llama-3.1-8b", Json::array(), "/o"), Error);
}

TEST_CASE("config: overrides of an object given inline follow the same rules") {
  const Json base = config_of("gpt-oss-20b");
  const Json shorter = with_overrides(base, Json{{"num_hidden_layers", 6}}, "/o");
  CHECK(model_from_config(shorter, "a").layers.size() == 6);
  CHECK(with_overrides(base, Json(nullptr), "/o") == base);
  CHECK_THROWS_AS((void)with_overrides(base, Json{{"n_layers", 6}}, "/o"), Error);
  CHECK_THROWS_AS((void)with_overrides(Json::array(), Json{{"n_layers", 6}}, "/o"), Error);
  const std::string scout = std::string(JEVONS_SOURCE_DIR) + "/tests/data/configs/";
  const ModelConfig m =
      model(scout + "llama-4-scout-instruct.json", Json{{"num_hidden_layers", 12}}, "/o");
  CHECK(m.layers.size() == 12);
  CHECK(m.id == "llama-4-scout-instruct");
}

TEST_CASE("presets: ids, names and aliases read off the head of a file are those inside it") {
  std::size_t index = 0;
  const std::vector<ModelPreset> presets = model_presets();
  REQUIRE(presets.size() == data_files().size());
  for (const EmbeddedFile& file : data_files()) {
    const Json json = parse_json(file.text, file.path);
    const ModelPreset& p = presets[index++];
    CHECK(p.id == json.at("id").get<std::string>());
    CHECK(p.name == json.at("name").get<std::string>());
    CHECK(p.aliases == json.at("aliases").get<std::vector<std::string>>());
    CHECK(model(p.id, "test").source.text == json.at("config_source").get<std::string>());
    for (const std::string& alias : p.aliases) CHECK(model(alias, "test").id == p.id);
  }
}

TEST_CASE("presets: an unknown name is answered with the nearest, a missing file with its path") {
  try {
    (void)model("deepseek-v33", "/model");
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.where() == "/model");
    CHECK(contains(error.hint(), "deepseek-v3"));
  }
  CHECK_THROWS_AS((void)model("/no/such/config.json", "/model"), Error);
  CHECK_THROWS_AS((void)model("", "/model"), Error);
}

TEST_CASE("fuzz: no byte string read as a config does anything but read or throw an Error") {
  std::mt19937 random(7);
  const std::string structural = "{}[]\":,0123456789eE+-.truefalsn\\ \n\x80\xff";
  const auto feed = [](const std::string& text) {
    try {
      const ModelConfig m = model_from_config(parse_json(text, "fuzz"), "fuzz");
      (void)count(m);
    } catch (const Error&) {
    }
  };
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    const std::size_t length = random() % 64;
    for (std::size_t i = 0; i < length; ++i) {
      text += round % 2 == 0 ? structural[random() % structural.size()]
                             : static_cast<char>(random() % 256);
    }
    feed(text);
  }
  for (const EmbeddedFile& file : data_files()) {
    const std::string whole = parse_json(file.text, file.path).at("config").dump();
    for (int round = 0; round < 40; ++round) {
      std::string text = whole;
      for (int change = 0; change < 3; ++change) {
        const std::size_t at = random() % text.size();
        text[at] = structural[random() % structural.size()];
      }
      feed(text);
    }
  }
}

TEST_CASE("fuzz: replacing any value of any preset by an odd one reads or throws an Error") {
  const std::vector<Json> odd{nullptr,
                              true,
                              -1,
                              0,
                              1,
                              2,
                              3,
                              1e18,
                              -1e300,
                              0.5,
                              "",
                              "\xc3\xa9",
                              Json::array(),
                              Json::object(),
                              Json::array({0, -1}),
                              7,
                              1000003,
                              "auto",
                              4096,
                              65536};
  for (const EmbeddedFile& file : data_files()) {
    const Json base = parse_json(file.text, file.path).at("config");
    for (const auto& [key, unused] : base.items()) {
      for (const Json& value : odd) {
        Json config = base;
        config[key] = value;
        try {
          const ModelConfig m = model_from_config(config, "fuzz");
          const ModelCounts c = count(m);
          CHECK(std::isfinite(c.parameters_total));
          CHECK(c.parameters_active <= c.parameters_total * (1 + 1e-12));
          CHECK(c.parameters_active > 0);
          CHECK(std::isfinite(training_flops_per_token(m, 4096, true).noncausal));
        } catch (const Error& error) {
          CHECK(error.kind() == ErrorKind::bad_input);
        }
      }
    }
  }
}
