// From a config.json to a ModelConfig: the table of families, and what all of them share.
// To add a family: one function in a config_*.cpp file and one line here.
#include "config_fields.hpp"

#include "jevons/core/error.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace jevons::workloads {
namespace {

constexpr std::array kFamilies{
    Family{"bitnet", read_llama, ""},
    Family{"dbrx", read_dbrx, ""},
    Family{"deepseek", read_deepseek_gqa, ""},
    Family{"deepseek_v2", read_deepseek_mla, ""},
    Family{"deepseek_v3", read_deepseek_mla, ""},
    Family{"deepseek_v32", read_deepseek_mla, ""},
    Family{"falcon_mamba", read_mamba, ""},
    Family{"gemma2", read_gemma2, ""},
    Family{"gemma3", read_gemma3, "text_config"},
    Family{"gemma3_text", read_gemma3, ""},
    Family{"glm4_moe", read_deepseek_gqa, ""},
    Family{"gpt2", read_gpt2, ""},
    Family{"gpt_oss", read_gpt_oss, ""},
    Family{"grok-1", read_grok, ""},
    Family{"jamba", read_jamba, ""},
    Family{"kimi_k2", read_deepseek_mla, ""},
    Family{"kimi_k25", read_deepseek_mla, "text_config"},
    Family{"llama", read_llama, ""},
    Family{"llama4", read_llama4, "text_config"},
    Family{"llama4_text", read_llama4, ""},
    Family{"mamba", read_mamba, ""},
    Family{"mamba2", read_mamba2, ""},
    Family{"minimax", read_minimax_text, ""},
    Family{"minimax_m2", read_minimax_m2, ""},
    Family{"minimax_text_01", read_minimax_text, ""},
    Family{"mistral", read_mistral, ""},
    Family{"mixtral", read_mixtral, ""},
    Family{"nemotron", read_nemotron, ""},
    Family{"nemotron_h", read_nemotron_h, ""},
    Family{"palm", read_palm, ""},
    Family{"phi3", read_llama, ""},
    Family{"qwen2", read_qwen, ""},
    Family{"qwen2_moe", read_qwen_moe, ""},
    Family{"qwen3", read_qwen, ""},
    Family{"qwen3_moe", read_qwen_moe, ""},
    Family{"retnet", read_retnet, ""},
    Family{"switch_transformers", read_switch, ""},
};

const Family& family_of(const std::string& model_type, const std::string& where) {
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) return family;
  }
  throw bad_input(where, "unknown model_type '" + model_type + "'",
                  did_you_mean(model_type, known_model_types()));
}

[[noreturn]] void unknown_quantization(const ObjectReader& reader, const std::string& key,
                                       const std::string& text) {
  throw bad_input(reader.where(key), "the weight format '" + text + "' is not understood",
                  "understood: fp8, fbgemm_fp8, mxfp4, bitnet, awq, gptq, bitsandbytes, modelopt "
                  "(FP8, NVFP4), compressed-tensors; null reads the model as unquantised");
}

NumberFormat integer_format(ObjectReader& reader) {
  const long bits = reader.integer("bits", 1, 16);
  if (bits == 4) return {Format::int4, 0.0};
  if (bits == 8) return {Format::int8, 0.0};
  return {Format::bits, static_cast<double>(bits)};
}

/// compressed-tensors: the weights of the first config group.
NumberFormat compressed_format(ObjectReader& reader) {
  ObjectReader groups = reader.object("config_groups");
  if (groups.value().empty()) throw bad_input(reader.where("config_groups"), "no group");
  ObjectReader weights = groups.object(groups.value().begin().key()).object("weights");
  const long bits = weights.integer("num_bits", 1, 16);
  const std::string type = weights.choice_or("type", "int", {"int", "float"});
  if (type == "int" && bits == 4) return {Format::int4, 0.0};
  if (type == "int" && bits == 8) return {Format::int8, 0.0};
  if (type == "float" && bits == 8) return {Format::fp8, 0.0};
  if (type == "float" && bits == 4) return {Format::nvfp4, 0.0};
  unknown_quantization(weights, "num_bits", type + std::to_string(bits));
}

NumberFormat quantized_format(ObjectReader reader) {
  const std::string method = reader.string("quant_method");
  if (method == "fp8") {
    return {reader.has_value("weight_block_size") ? Format::fp8_block : Format::fp8, 0.0};
  }
  if (method == "fbgemm_fp8") return {Format::fp8, 0.0};
  if (method == "mxfp4") return {Format::mxfp4, 0.0};
  if (method == "bitnet") return {Format::ternary, 0.0};
  if (method == "awq" || method == "gptq") return integer_format(reader);
  if (method == "bitsandbytes") {
    return {reader.boolean_or("load_in_4bit", false) ? Format::int4 : Format::int8, 0.0};
  }
  if (method == "modelopt") {
    const std::string algorithm = reader.string("quant_algo");
    if (algorithm == "FP8") return {Format::fp8, 0.0};
    if (algorithm == "NVFP4") return {Format::nvfp4, 0.0};
    unknown_quantization(reader, "quant_algo", algorithm);
  }
  if (method == "compressed-tensors") return compressed_format(reader);
  unknown_quantization(reader, "quant_method", method);
}

/// MTP modules and the format of the published weights; then what must be understood and was not.
void finish(Fields& fields, ModelConfig& model, const std::vector<std::string>& strict) {
  if (model.mtp_modules == 0 && !model.layers.empty() && fields.has("num_nextn_predict_layers")) {
    model.mtp_modules = fields.get_or_zero("num_nextn_predict_layers", 0, 64);
  }
  if (auto quantization = fields.reader().optional_object("quantization_config")) {
    model.published_weights = quantized_format(*quantization);
  }
  fields.reader().ignore("model_type");
  const Json& object = fields.reader().value();
  for (const auto& [key, unused] : object.items()) {
    if (std::find(strict.begin(), strict.end(), key) == strict.end()) fields.reader().ignore(key);
  }
  fields.reader().finish();
}

}  // namespace

ModelConfig read_config(const Json& config, const std::string& file, const std::string& pointer,
                        const std::vector<std::string>& strict) {
  ObjectReader reader(config, file, pointer);
  ModelConfig model;
  model.source = {file, Mark::unverified};
  const auto type = reader.optional_string("model_type");
  if (!type) {
    std::vector<std::string> all;
    for (const auto& [key, unused] : config.items()) all.push_back(key);
    model.source.mark = Mark::assumed;
    Fields fields(reader);
    read_inline(fields, model);
    finish(fields, model, all);
    return model;
  }
  const Family& family = family_of(*type, reader.where("model_type"));
  model.model_type = *type;
  const bool nested = !family.nested.empty() && reader.has_value(family.nested);
  const auto outer = reader.optional_object("quantization_config");
  Fields fields(nested ? reader.object(family.nested) : reader);
  family.read(fields, model);
  finish(fields, model, strict);
  if (nested && outer) model.published_weights = quantized_format(*outer);
  return model;
}

ModelConfig model_from_config(const Json& config, const std::string& file,
                              const std::string& pointer) {
  return read_config(config, file, pointer, {});
}

std::vector<std::string> known_model_types() {
  std::vector<std::string> out;
  for (const Family& family : kFamilies) out.emplace_back(family.model_type);
  return out;
}

}  // namespace jevons::workloads
