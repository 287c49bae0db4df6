// Parameter counts to the last element: the totals that the safetensors metadata of the released
// checkpoints (Hugging Face hub) report, less the norm weights, small biases and gates that the
// counts leave out and that are written out here. Nothing is rounded.
#include "golden.hpp"

#include <doctest/doctest.h>

using namespace jevons;
using namespace jevons::workloads;

namespace {

double total(const std::string& id) {
  return count(preset(id)).parameters_total;
}
double total_of(const Json& config) {
  return count(model_from_config(config, "test")).parameters_total;
}
/// Two norms a layer and one at the end, each as wide as the hidden state.
double norms(double layers, double hidden) {
  return (2 * layers + 1) * hidden;
}

}  // namespace

TEST_CASE("checkpoints: Llama, Mixtral and Phi hold our parameters and their norms") {
  CHECK(total("llama-2-7b") + norms(32, 4096) == 6'738'415'616.0);
  CHECK(total("llama-2-70b") + norms(80, 8192) == 68'976'648'192.0);
  CHECK(total("llama-3.1-8b") + norms(32, 4096) == 8'030'261'248.0);
  CHECK(total("llama-3.1-70b") + norms(80, 8192) == 70'553'706'496.0);
  CHECK(total("llama-3.1-405b") + norms(126, 16384) == 405'853'388'800.0);
  CHECK(total("mixtral-8x7b") + norms(32, 4096) == 46'702'792'704.0);
  CHECK(total("mixtral-8x22b") + norms(56, 6144) == 140'630'071'296.0);
  CHECK(total("phi-4") + norms(40, 5120) == 14'659'507'200.0);
}

TEST_CASE("checkpoints: Qwen, with norms of queries and keys or biases of their projections") {
  CHECK(total("qwen2.5-72b") + norms(80, 8192) + 80.0 * (8192 + 2 * 1024) == 72'706'203'648.0);
  CHECK(total("qwen3-30b-a3b") + norms(48, 2048) + 48.0 * 2 * 128 == 30'532'122'624.0);
  CHECK(total("qwen3-235b-a22b") + norms(94, 4096) + 94.0 * 2 * 128 == 235'093'634'560.0);
  const Json moe{{"model_type", "qwen2_moe"},
                 {"hidden_size", 2048},
                 {"num_hidden_layers", 24},
                 {"num_attention_heads", 16},
                 {"num_key_value_heads", 16},
                 {"intermediate_size", 5632},
                 {"moe_intermediate_size", 1408},
                 {"shared_expert_intermediate_size", 5632},
                 {"num_experts", 60},
                 {"num_experts_per_tok", 4},
                 {"decoder_sparse_step", 1},
                 {"sliding_window", 32768},
                 {"max_window_layers", 21},
                 {"use_sliding_window", false},
                 {"vocab_size", 151936}};
  const double biases = 24.0 * 3 * 2048, shared_gates = 24.0 * 2048;
  CHECK(total_of(moe) + norms(24, 2048) + biases + shared_gates == 14'315'784'192.0);
}

TEST_CASE("checkpoints: DeepSeek, with latent norms and routing biases") {
  CHECK(total("deepseek-v2-lite") + norms(27, 2048) + 27.0 * 512 == 15'706'484'224.0);
  CHECK(total("deepseek-v2") + norms(60, 5120) + 60.0 * (512 + 1536) == 235'741'434'880.0);
  CHECK(total("deepseek-v3") + norms(61, 7168) + 61.0 * (512 + 1536) + 58.0 * 256 ==
        671'026'419'200.0);
  const Json v1{
      {"model_type", "deepseek"},      {"hidden_size", 2048},        {"num_hidden_layers", 28},
      {"num_attention_heads", 16},     {"num_key_value_heads", 16},  {"intermediate_size", 10944},
      {"moe_intermediate_size", 1408}, {"n_routed_experts", 64},     {"n_shared_experts", 2},
      {"num_experts_per_tok", 6},      {"first_k_dense_replace", 1}, {"moe_layer_freq", 1},
      {"scoring_func", "softmax"},     {"vocab_size", 102400}};
  CHECK(total_of(v1) + norms(28, 2048) == 16'375'728'128.0);
}

TEST_CASE("checkpoints: gpt-oss, with biases, attention sinks and router biases") {
  const auto rest = [](double layers, double experts) {
    const double biases = 64 * 64 + 2 * 8 * 64 + 2880, sinks = 64;
    return norms(layers, 2880) + layers * (biases + sinks + experts);
  };
  CHECK(total("gpt-oss-20b") + rest(24, 32) == 20'914'757'184.0);
  CHECK(total("gpt-oss-120b") + rest(36, 128) == 116'829'156'672.0);
}

TEST_CASE("checkpoints: GPT-2 counts its own biases and norms, all but the last norm") {
  const Json small{{"model_type", "gpt2"}, {"n_embd", 768},       {"n_layer", 12},
                   {"n_head", 12},         {"n_positions", 1024}, {"vocab_size", 50257}};
  CHECK(total_of(small) + 2 * 768 == 124'439'808.0);
}

TEST_CASE("checkpoints: Gemma 2 and 3, with four norms a layer") {
  const auto gemma2 = [](long hidden, long layers, long heads, long kv_heads, long width,
                         long head_dim) {
    return Json{{"model_type", "gemma2"},
                {"hidden_size", hidden},
                {"num_hidden_layers", layers},
                {"num_attention_heads", heads},
                {"num_key_value_heads", kv_heads},
                {"intermediate_size", width},
                {"head_dim", head_dim},
                {"vocab_size", 256000},
                {"sliding_window", 4096}};
  };
  CHECK(total_of(gemma2(2304, 26, 8, 4, 9216, 256)) + norms(2 * 26, 2304) == 2'614'341'888.0);
  CHECK(total_of(gemma2(3584, 42, 16, 8, 14336, 256)) + norms(2 * 42, 3584) == 9'241'705'984.0);
  CHECK(total_of(gemma2(4608, 46, 32, 16, 36864, 128)) + norms(2 * 46, 4608) == 27'227'128'320.0);
  // The released file nests the language model and leaves out what equals the class defaults; its
  // vocabulary is then 262,208 (the shipped preset's source says 262,144).
  const Json text{{"model_type", "gemma3_text"}, {"hidden_size", 5376},
                  {"num_hidden_layers", 62},     {"num_attention_heads", 32},
                  {"num_key_value_heads", 16},   {"head_dim", 128},
                  {"intermediate_size", 21504},  {"sliding_window", 1024}};
  const Json gemma3{
      {"model_type", "gemma3"}, {"text_config", text}, {"vision_config", Json::object()}};
  CHECK(total_of(gemma3) + norms(2 * 62, 5376) + 62.0 * 2 * 128 == 27'009'346'304.0);
  const ModelConfig m = model_from_config(gemma3, "test");
  CHECK(m.layers[4].attention.window == 1024);
  CHECK(m.layers[5].attention.window == 0);
}

TEST_CASE("checkpoints: Mamba, with one norm a layer") {
  const Json mamba{{"model_type", "mamba"},     {"hidden_size", 2560}, {"num_hidden_layers", 64},
                   {"intermediate_size", 5120}, {"state_size", 16},    {"conv_kernel", 4},
                   {"time_step_rank", 160},     {"vocab_size", 50280}};
  CHECK(total_of(mamba) + 65.0 * 2560 == 2'768'345'600.0);
}

TEST_CASE("checkpoints: BitNet, with two inner norms a layer") {
  CHECK(total("bitnet-b1.58-2b4t") + norms(30, 2560) + 30.0 * (2560 + 6912) == 2'412'820'480.0);
}
