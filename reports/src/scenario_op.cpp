// Scenario section `op`: one kernel or collective.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"

#include <array>
#include <charconv>
#include <utility>

namespace jevons::reports {
namespace {

using workloads::AttentionCore;
using workloads::AttentionPhase;
using workloads::CollectiveKind;

constexpr std::array<std::string_view, 13> kKinds{
    "gemm",         "grouped_gemm", "attention",      "mla_decode", "copy",
    "all_reduce",   "all_gather",   "reduce_scatter", "all_to_all", "p2p",
    "moe_dispatch", "moe_combine",  "moe_experts"};
constexpr std::array<std::pair<std::string_view, CollectiveKind>, 5> kCollectives{{
    {"all_reduce", CollectiveKind::all_reduce},
    {"all_gather", CollectiveKind::all_gather},
    {"reduce_scatter", CollectiveKind::reduce_scatter},
    {"all_to_all", CollectiveKind::all_to_all},
    {"p2p", CollectiveKind::p2p},
}};
constexpr std::array<std::pair<std::string_view, AttentionPhase>, 3> kPhases{{
    {"forward", AttentionPhase::forward},
    {"backward", AttentionPhase::backward},
    {"decode", AttentionPhase::decode},
}};

double extent(ObjectReader& op, std::string_view key) {
  return static_cast<double>(op.integer(key, 1, 10000000000000L));
}
double extent_or(ObjectReader& op, std::string_view key, double fallback) {
  return op.has_value(key)
             ? extent(op, key)
             : static_cast<double>(op.integer_or(key, static_cast<long>(fallback), 0, 1));
}
double byte_count(ObjectReader& op) {
  return op.number("bytes", {0, 1e18, true}, UnitKind::bytes);
}
long rank_count(ObjectReader& op, const sim::Scenario& scenario) {
  const long ranks = op.integer("ranks", 1, 10000000);
  if (ranks > scenario.cluster.count) {
    throw bad_input(op.where("ranks"),
                    std::to_string(ranks) + " ranks on " + std::to_string(scenario.cluster.count) +
                        " accelerators",
                    "allowed: up to /cluster/count");
  }
  return ranks;
}

workloads::Gemm read_gemm(ObjectReader& op, bool grouped) {
  workloads::Gemm gemm;
  gemm.m = extent(op, "m");
  gemm.n = extent(op, "n");
  gemm.k = extent(op, "k");
  if (grouped) gemm.groups = extent(op, "groups");
  return gemm;
}

AttentionCore read_attention(ObjectReader& op) {
  AttentionCore core;
  std::vector<std::string_view> names;
  for (const auto& [name, unused] : kPhases) names.push_back(name);
  const std::string phase = op.choice("phase", names);
  for (const auto& [name, value] : kPhases) {
    if (name == phase) core.phase = value;
  }
  core.batch = extent(op, "batch");
  core.heads = extent(op, "heads");
  core.kv_heads = op.has_value("kv_heads") ? extent(op, "kv_heads") : core.heads;
  op.ignore("kv_heads");
  core.q_len = extent(op, "q_len");
  core.kv_len = extent(op, "kv_len");
  core.qk_dim = extent(op, "qk_dim");
  core.v_dim = extent(op, "v_dim");
  core.window = static_cast<double>(op.integer_or("window", 0, 0, 10000000000L));
  core.causal = op.boolean_or("causal", true);
  core.mla = op.boolean_or("mla", false);
  return core;
}

workloads::MlaDecode read_mla(ObjectReader& op) {
  workloads::MlaDecode mla;
  mla.batch = extent(op, "batch");
  mla.heads = extent(op, "heads");
  mla.q_len = extent_or(op, "q_len", 1);
  mla.kv_len = extent(op, "kv_len");
  mla.kv_lora_rank = extent(op, "kv_lora_rank");
  mla.rope_dim = extent(op, "rope_dim");
  return mla;
}

workloads::Collective read_collective(ObjectReader& op, const sim::Scenario& scenario,
                                      const std::string& kind) {
  workloads::Collective collective;
  for (const auto& [name, value] : kCollectives) {
    if (name == kind) collective.kind = value;
  }
  collective.bytes = byte_count(op);
  collective.ranks = rank_count(op, scenario);
  collective.stride = op.integer_or("stride", 1, 1, 10000000);
  return collective;
}

workloads::MoeExchange read_exchange(ObjectReader& op, const sim::Scenario& scenario,
                                     bool combine) {
  workloads::MoeExchange exchange;
  exchange.combine = combine;
  exchange.tokens = extent(op, "tokens");
  // Without a mode: what engines do, low-latency kernels for decode-sized batches.
  const bool few = exchange.tokens <= scenario.stack.at("engine.low_latency_tokens");
  exchange.low_latency = op.choice_or("mode", few ? "low_latency" : "throughput",
                                      {"throughput", "low_latency"}) == "low_latency";
  exchange.hidden = extent(op, "hidden");
  exchange.top_k = extent(op, "top_k");
  exchange.experts = extent(op, "experts");
  exchange.group_limit = static_cast<double>(op.integer_or("group_limit", 0, 0, 1000000));
  exchange.ranks = rank_count(op, scenario);
  exchange.stride = op.integer_or("stride", 1, 1, 10000000);
  const NumberFormat wire = combine ? scenario.precision.combine : scenario.precision.dispatch;
  exchange.bytes_per_element =
      op.number_or("bytes_per_element", activation_bytes(wire), {0, 16, true});
  exchange.sms = static_cast<double>(op.integer_or("sms", 0, 0, 1000000));
  return exchange;
}

void read_routing(ObjectReader& op, workloads::MoeExperts& experts) {
  const std::string text = op.string_or("routing", "balanced");
  constexpr std::string_view kPrefix = "power_law_";
  if (text == "balanced") return;
  if (text == "uniform") {
    experts.routing = workloads::Routing::uniform;
    return;
  }
  double exponent = -1;
  if (text.starts_with(kPrefix)) {
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + kPrefix.size(), end, exponent);
    if (parsed.ec != std::errc() || parsed.ptr != end) exponent = -1;
  }
  if (!(exponent > 0 && exponent <= 10)) {
    throw bad_input(op.where("routing"), "unknown routing '" + text + "'",
                    "allowed: balanced, uniform, power_law_<exponent up to 10>");
  }
  experts.routing = workloads::Routing::power_law;
  experts.power_law = exponent;
}

workloads::MoeExperts read_experts(ObjectReader& op) {
  workloads::MoeExperts experts;
  experts.tokens = extent(op, "tokens");
  experts.hidden = extent(op, "hidden");
  experts.intermediate = extent(op, "intermediate");
  experts.top_k = extent(op, "top_k");
  experts.experts = extent(op, "experts");
  experts.ep = op.integer_or("ep", 1, 1, 10000000);
  experts.etp = op.integer_or("etp", 1, 1, 10000000);
  experts.gated = op.boolean_or("gated", true);
  experts.load_max_over_mean = op.number_or("expert_load_max_over_mean", 0, {0, 1e6});
  read_routing(op, experts);
  if (experts.top_k > experts.experts) {
    throw bad_input(op.where("top_k"), "top_k exceeds the number of experts");
  }
  return experts;
}

workloads::Shape read_shape(ObjectReader& op, const sim::Scenario& scenario,
                            const std::string& kind) {
  if (kind == "gemm" || kind == "grouped_gemm") return read_gemm(op, kind == "grouped_gemm");
  if (kind == "attention") return read_attention(op);
  if (kind == "mla_decode") return read_mla(op);
  if (kind == "copy") return workloads::Copy{byte_count(op)};
  if (kind == "moe_experts") return read_experts(op);
  if (kind.starts_with("moe_")) return read_exchange(op, scenario, kind == "moe_combine");
  return read_collective(op, scenario, kind);
}

/// Which formats a kernel sees: GEMMs read operands in the GEMM's format, attention reads keys and
/// values from the cache when it decodes.
void set_formats(workloads::Operator& op, const Precision& precision) {
  op.format = precision.gemm;
  op.weight_format = precision.weights;
  op.activation_format = precision.gemm;
  const auto* core = std::get_if<AttentionCore>(&op.shape);
  if (core != nullptr || std::holds_alternative<workloads::MlaDecode>(op.shape)) {
    const bool decode = core == nullptr || core->phase == AttentionPhase::decode;
    op.format = precision.attention;
    op.activation_format = decode ? precision.kv_cache : precision.attention;
    op.weight_format = op.activation_format;
  }
  if (std::holds_alternative<workloads::Copy>(op.shape) ||
      std::holds_alternative<workloads::Collective>(op.shape)) {
    op.format = op.weight_format = op.activation_format = precision.activations;
  }
  if (const auto* exchange = std::get_if<workloads::MoeExchange>(&op.shape)) {
    op.format = op.weight_format = op.activation_format =
        exchange->combine ? precision.combine : precision.dispatch;
  }
}

struct ShapeWriter {
  Json& out;
  void put(const char* key, double value) const { out[key] = number_json(value); }
  void operator()(const workloads::Gemm& g) const {
    if (out["kind"] == "grouped_gemm") put("groups", g.groups);
    put("m", g.m);
    put("n", g.n);
    put("k", g.k);
  }
  void operator()(const AttentionCore& a) const {
    for (const auto& [name, phase] : kPhases) {
      if (phase == a.phase) out["phase"] = name;
    }
    put("batch", a.batch);
    put("heads", a.heads);
    put("kv_heads", a.kv_heads);
    put("q_len", a.q_len);
    put("kv_len", a.kv_len);
    put("qk_dim", a.qk_dim);
    put("v_dim", a.v_dim);
    if (a.window > 0) put("window", a.window);
    out["causal"] = a.causal;
    if (a.mla) out["mla"] = true;
  }
  void operator()(const workloads::MlaDecode& m) const {
    put("batch", m.batch);
    put("heads", m.heads);
    put("q_len", m.q_len);
    put("kv_len", m.kv_len);
    put("kv_lora_rank", m.kv_lora_rank);
    put("rope_dim", m.rope_dim);
  }
  void operator()(const workloads::Copy& c) const { put("bytes", c.bytes); }
  void operator()(const workloads::Collective& c) const {
    put("bytes", c.bytes);
    out["ranks"] = c.ranks;
    if (c.stride != 1) out["stride"] = c.stride;
  }
  void operator()(const workloads::MoeExchange& e) const {
    out["mode"] = e.low_latency ? "low_latency" : "throughput";
    put("tokens", e.tokens);
    put("hidden", e.hidden);
    put("top_k", e.top_k);
    put("experts", e.experts);
    if (e.group_limit > 0) put("group_limit", e.group_limit);
    out["ranks"] = e.ranks;
    if (e.stride != 1) out["stride"] = e.stride;
    put("bytes_per_element", e.bytes_per_element);
    if (e.sms > 0) put("sms", e.sms);
  }
  void operator()(const workloads::MoeExperts& e) const {
    put("tokens", e.tokens);
    put("hidden", e.hidden);
    put("intermediate", e.intermediate);
    put("top_k", e.top_k);
    put("experts", e.experts);
    out["ep"] = e.ep;
    out["etp"] = e.etp;
    out["routing"] = e.routing == workloads::Routing::power_law
                         ? "power_law_" + number_text(e.power_law)
                     : e.routing == workloads::Routing::uniform ? std::string("uniform")
                                                                : std::string("balanced");
    if (e.load_max_over_mean > 0) put("expert_load_max_over_mean", e.load_max_over_mean);
    out["gated"] = e.gated;
  }
  void operator()(const workloads::Elementwise&) const {}
  void operator()(const workloads::Scan&) const {}
};

}  // namespace

void read_op(ScenarioReader& in, ObjectReader& root) {
  if (root.has_value("parallelism")) {
    throw bad_input(root.where("parallelism"), "a layout in a scenario whose task is 'op'",
                    "remove it: /op names the ranks of a collective");
  }
  root.ignore("parallelism");
  ObjectReader op = root.object("op");
  const std::string kind = op.choice("kind", kKinds);
  in.out.op.op.name = kind;
  in.out.op.op.shape = read_shape(op, in.out, kind);
  set_formats(in.out.op.op, in.out.precision);
  op.finish();
}

Json write_op(const workloads::Operator& op) {
  Json out = Json::object();
  out["kind"] = op.name;
  std::visit(ShapeWriter{out}, op.shape);
  return out;
}

}  // namespace jevons::reports
