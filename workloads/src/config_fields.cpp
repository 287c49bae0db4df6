#include "config_fields.hpp"

#include "jevons/core/error.hpp"

#include <nlohmann/json.hpp>

namespace jevons::workloads {

long Fields::need(std::initializer_list<std::string_view> keys, long high) {
  for (const std::string_view key : keys) {
    if (reader_.has_value(key)) return reader_.integer(key, 1, high);
  }
  return reader_.integer(*keys.begin(), 1, high);
}

long Fields::get(std::string_view key, long fallback, long high) {
  return reader_.integer_or(key, fallback, 1, high);
}

long Fields::get_or_zero(std::string_view key, long fallback, long high) {
  return reader_.integer_or(key, fallback, 0, high);
}

bool Fields::flag(std::string_view key, bool fallback) {
  return reader_.boolean_or(key, fallback);
}

const Json* Fields::array(std::string_view key, std::size_t count) {
  const Json* value = reader_.raw(key);
  if (value == nullptr || value->is_null()) return nullptr;
  if (!value->is_array()) throw bad_input(where(key), "expected a list with one entry per layer");
  if (value->empty()) return nullptr;
  if (count > 0 && value->size() != count) {
    throw bad_input(where(key),
                    "the list has " + std::to_string(value->size()) + " entries for " +
                        std::to_string(count) + " layers",
                    "give one entry per layer");
  }
  return value;
}

std::vector<long> Fields::list(std::string_view key, std::size_t count, long high) {
  std::vector<long> out;
  const Json* value = array(key, count);
  if (value == nullptr) return out;
  for (std::size_t i = 0; i < value->size(); ++i) {
    const Json& entry = (*value)[i];
    const double number = entry.is_number() ? entry.get<double>() : -1.0;
    const bool whole = number >= 0 && number <= static_cast<double>(high) &&
                       number == static_cast<double>(static_cast<long>(number));
    if (!whole) {
      throw bad_input(where(key) + "/" + std::to_string(i), "expected a whole number",
                      "allowed: 0 to " + std::to_string(high));
    }
    out.push_back(static_cast<long>(number));
  }
  return out;
}

std::vector<long> Fields::indices(std::string_view key, long layers) {
  return list(key, 0, layers - 1);
}

std::vector<std::string> Fields::texts(std::string_view key, std::size_t count) {
  std::vector<std::string> out;
  const Json* value = array(key, count);
  if (value == nullptr) return out;
  for (std::size_t i = 0; i < value->size(); ++i) {
    const Json& entry = (*value)[i];
    if (!entry.is_string()) {
      throw bad_input(where(key) + "/" + std::to_string(i), "expected a text");
    }
    out.push_back(entry.get<std::string>());
  }
  return out;
}

void check_groups(const Fields& fields, long heads, long kv_heads, std::string_view key) {
  if (kv_heads <= heads && heads % kv_heads == 0) return;
  throw bad_input(fields.where(key),
                  std::to_string(heads) + " query heads do not divide by " +
                      std::to_string(kv_heads) + " key-value heads",
                  "a group of query heads shares one key-value head");
}

long derived_head_dim(const Fields& fields, long hidden, long heads, std::string_view key) {
  if (hidden % heads == 0) return hidden / heads;
  throw bad_input(fields.where(key),
                  "missing, and the hidden size " + std::to_string(hidden) +
                      " does not divide by " + std::to_string(heads) + " heads",
                  "give '" + std::string(key) + "'");
}

Trunk read_shape(Fields& fields) {
  Trunk shape;
  shape.layers = fields.need({"num_hidden_layers"}, kMaxLayers);
  shape.hidden = fields.need({"hidden_size"});
  shape.heads = fields.need({"num_attention_heads"}, kMaxHeads);
  shape.kv_heads = fields.get("num_key_value_heads", shape.heads, kMaxHeads);
  check_groups(fields, shape.heads, shape.kv_heads, "num_key_value_heads");
  shape.head_dim = fields.get_or_zero("head_dim", 0);
  if (shape.head_dim == 0) {
    shape.head_dim = derived_head_dim(fields, shape.hidden, shape.heads, "head_dim");
  }
  return shape;
}

Attention gqa(const Trunk& shape) {
  Attention a;
  a.kind = AttentionKind::gqa;
  a.heads = shape.heads;
  a.kv_heads = shape.kv_heads;
  a.qk_dim = a.v_dim = shape.head_dim;
  return a;
}

std::vector<Attention> from_layer_types(Fields& fields, const Attention& full, long layers,
                                        long window, long chunk) {
  std::vector<Attention> out;
  const std::vector<std::string> types =
      fields.texts("layer_types", static_cast<std::size_t>(layers));
  for (std::size_t i = 0; i < types.size(); ++i) {
    Attention a = full;
    const std::string where = fields.where("layer_types") + "/" + std::to_string(i);
    if (types[i] == "sliding_attention") {
      if (window <= 0) throw bad_input(where, "a sliding layer without 'sliding_window'");
      a.window = window;
    } else if (types[i] == "chunked_attention") {
      if (chunk <= 0) throw bad_input(where, "a chunked layer without 'attention_chunk_size'");
      a.chunk = chunk;
    } else if (types[i] != "full_attention") {
      throw bad_input(where, "unknown layer type '" + types[i] + "'",
                      "allowed: full_attention, sliding_attention, chunked_attention");
    }
    out.push_back(a);
  }
  return out;
}

void read_common(Fields& fields, ModelConfig& model, long hidden, bool tied) {
  model.hidden = hidden;
  model.vocab = fields.need({"vocab_size"}, kMaxVocab);
  model.max_positions = fields.get_or_zero("max_position_embeddings", 0, kMaxPositions);
  model.tied_embeddings = fields.flag("tie_word_embeddings", tied);
}

FeedForward dense_ffn(long intermediate, bool gated) {
  FeedForward ffn;
  ffn.kind = FfnKind::dense;
  ffn.intermediate = intermediate;
  ffn.gated = gated;
  return ffn;
}

void check_top_k(const Fields& fields, long top_k, long experts, std::string_view key) {
  if (top_k <= experts) return;
  throw bad_input(fields.where(key), "a token cannot go to " + std::to_string(top_k) + " of " +
                                         std::to_string(experts) + " experts");
}

void read_node_limit(Fields& fields, FeedForward& moe) {
  moe.groups = fields.get("n_group", 1, kMaxExperts);
  moe.group_limit = fields.get("topk_group", moe.groups, kMaxExperts);
  if (moe.experts % moe.groups != 0) {
    throw bad_input(fields.where("n_group"), std::to_string(moe.experts) +
                                                 " experts do not divide into " +
                                                 std::to_string(moe.groups) + " groups");
  }
  if (moe.group_limit > moe.groups) {
    throw bad_input(fields.where("topk_group"),
                    "more than the " + std::to_string(moe.groups) + " groups of 'n_group'");
  }
  if (moe.top_k > moe.group_limit * (moe.experts / moe.groups)) {
    throw bad_input(fields.where("topk_group"),
                    "the groups a token may visit hold fewer experts than it needs");
  }
}

}  // namespace jevons::workloads
