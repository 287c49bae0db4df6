// Scenario key `parallelism`: reading, deriving dp, and what real stacks refuse.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"

#include <array>
#include <utility>

namespace jevons::reports {
namespace {

using workloads::AttentionKind;
using workloads::FfnKind;
using workloads::Parallelism;
using workloads::Sharding;

constexpr long kMaxDegree = 10000000;
constexpr std::array<std::pair<std::string_view, Sharding>, 5> kShardings{{
    {"none", Sharding::none},
    {"zero1", Sharding::zero1},
    {"zero2", Sharding::zero2},
    {"zero3", Sharding::zero3},
    {"fsdp", Sharding::fsdp},
}};

std::string_view sharding_name(Sharding sharding) {
  for (const auto& [name, value] : kShardings) {
    if (value == sharding) return name;
  }
  return "none";
}

Sharding read_sharding(ScenarioReader& in, ObjectReader& object) {
  if (!object.has_value("sharding")) {
    object.ignore("sharding");
    if (in.out.task != sim::Task::train) return Sharding::none;
    in.took(object.pointer() + "/sharding", "zero1", "default: optimizer states sharded over dp");
    return Sharding::zero1;
  }
  std::vector<std::string_view> names;
  for (const auto& [name, unused] : kShardings) names.push_back(name);
  const std::string text = object.choice("sharding", names);
  for (const auto& [name, value] : kShardings) {
    if (name == text) return value;
  }
  return Sharding::none;
}

std::string text(long value) {
  return std::to_string(value);
}

[[noreturn]] void refuse(const ScenarioReader& in, const std::string& pointer,
                         const std::string& message, const std::string& allowed) {
  throw bad_input(in.at(pointer), message, allowed);
}

/// Divisors of n up to 16, for the remedy: "1, 2, 4, 8".
std::string small_divisors(long n) {
  std::string list;
  for (long d = 1; d <= 16 && d <= n; ++d) {
    if (n % d == 0) list += (list.empty() ? "" : ", ") + text(d);
  }
  return list;
}

void check_heads(const ScenarioReader& in, const workloads::Layer& layer, long tp,
                 const std::string& pointer) {
  const workloads::Attention& a = layer.attention;
  if (a.kind == AttentionKind::none || tp == 1) return;
  const long heads = a.heads > 0 ? a.heads : a.ssm_heads;
  if (heads > 0 && heads % tp != 0) {
    refuse(in, pointer + "/tp",
           "tp " + text(tp) + " does not divide the " + text(heads) + " attention heads of " +
               in.out.model.id,
           "allowed: divisors of " + text(heads) + ", such as " + small_divisors(heads));
  }
  // Fewer key-value heads than ranks are replicated by every stack, when that comes out even.
  if (a.kind == AttentionKind::gqa && a.kv_heads > 0 && a.kv_heads % tp != 0 &&
      tp % a.kv_heads != 0) {
    refuse(in, pointer + "/tp",
           "tp " + text(tp) + " neither divides nor is a multiple of the " + text(a.kv_heads) +
               " key-value heads of " + in.out.model.id,
           "allowed: divisors or multiples of " + text(a.kv_heads));
  }
}

void check_ffn(const ScenarioReader& in, const workloads::Layer& layer, const Parallelism& layout,
               const std::string& pointer, double redundant) {
  const workloads::FeedForward& f = layer.ffn;
  if (f.kind == FfnKind::dense && f.intermediate % layout.tp != 0) {
    refuse(in, pointer + "/tp",
           "tp " + text(layout.tp) + " does not divide the intermediate width " +
               text(f.intermediate) + " of " + in.out.model.id,
           "allowed: divisors of " + text(f.intermediate));
  }
  if (f.kind != FfnKind::moe) return;
  const long experts = f.experts + static_cast<long>(redundant);
  if (experts % layout.ep != 0) {
    const std::string copies =
        redundant > 0 ? " (" + text(static_cast<long>(redundant)) + " redundant ones included)"
                      : "";
    refuse(in, pointer + "/ep",
           "ep " + text(layout.ep) + " does not divide the " + text(experts) + " experts of " +
               in.out.model.id + copies,
           "allowed: divisors of " + text(experts));
  }
  if (f.intermediate % layout.etp != 0) {
    refuse(in, pointer + "/etp",
           "etp " + text(layout.etp) + " does not divide the expert width " + text(f.intermediate) +
               " of " + in.out.model.id,
           "allowed: divisors of " + text(f.intermediate));
  }
}

}  // namespace

Parallelism read_layout(ScenarioReader& in, std::optional<ObjectReader> object) {
  Parallelism layout;
  layout.dp = 0;
  static const Json k_empty = Json::object();
  ObjectReader reader = object ? *object : ObjectReader(k_empty, in.file, "/parallelism");
  layout.tp = reader.integer_or("tp", 1, 1, kMaxDegree);
  layout.pp = reader.integer_or("pp", 1, 1, kMaxDegree);
  layout.vpp = reader.integer_or("vpp", 1, 1, kMaxDegree);
  layout.cp = reader.integer_or("cp", 1, 1, kMaxDegree);
  layout.ep = reader.integer_or("ep", 1, 1, kMaxDegree);
  layout.etp = reader.integer_or("etp", layout.ep > 1 ? 1 : layout.tp, 1, kMaxDegree);
  layout.dp = reader.integer_or("dp", 0, 1, kMaxDegree);
  layout.sp = reader.boolean_or("sp", false);
  layout.sharding = read_sharding(in, reader);
  layout.sharding_group = reader.integer_or("sharding_group", 0, 0, kMaxDegree);
  reader.finish();
  return layout;
}

void complete_layout(const ScenarioReader& in, Parallelism& layout, const std::string& pointer,
                     long accelerators, const std::string& what) {
  // Products of degrees up to 1e7 are exact in double up to 2^53; above, they are wrong anyway.
  const double inner = static_cast<double>(layout.tp) * static_cast<double>(layout.pp) *
                       static_cast<double>(layout.cp);
  const std::string product =
      "tp " + text(layout.tp) + " x pp " + text(layout.pp) + " x cp " + text(layout.cp);
  const std::string have = text(accelerators) + " " + what;
  if (layout.dp == 0) {
    if (inner > static_cast<double>(accelerators) || accelerators % static_cast<long>(inner) != 0) {
      refuse(in, pointer, product + " = " + number_text(inner) + " does not divide " + have,
             "tp x pp x cp x dp must equal the number of accelerators");
    }
    layout.dp = accelerators / static_cast<long>(inner);
  }
  const double world = inner * static_cast<double>(layout.dp);
  if (world != static_cast<double>(accelerators)) {
    refuse(in, pointer,
           product + " x dp " + text(layout.dp) + " = " + number_text(world) + ", not " + have,
           "leave dp out to derive it");
  }
  const long folded = layout.tp * layout.cp * layout.dp;
  if (static_cast<double>(layout.ep) * static_cast<double>(layout.etp) >
          static_cast<double>(folded) ||
      folded % (layout.ep * layout.etp) != 0) {
    refuse(in, pointer + "/ep",
           "ep " + text(layout.ep) + " x etp " + text(layout.etp) +
               " does not divide tp x cp x dp = " + text(folded),
           "expert parallelism folds into tp, cp and dp");
  }
  const long group = layout.sharding_group;
  if (group != 0 && (layout.dp * layout.cp) % group != 0) {
    refuse(in, pointer + "/sharding_group",
           "sharding_group " + text(group) +
               " does not divide dp x cp = " + text(layout.dp * layout.cp),
           "0 shards over all of them");
  }
}

void check_layout(ScenarioReader& in, const Parallelism& layout, const std::string& pointer,
                  LayoutUse use) {
  const workloads::ModelConfig& model = in.out.model;
  bool has_experts = false;
  for (const workloads::LayerRun run : workloads::layer_runs(model)) {
    const workloads::Layer& layer = model.layers[static_cast<std::size_t>(run.first)];
    if (!use.attention_dp) check_heads(in, layer, layout.tp, pointer);
    check_ffn(in, layer, layout, pointer, use.redundant_experts);
    has_experts = has_experts || layer.ffn.kind == FfnKind::moe;
  }
  if (layout.ep > 1 && !has_experts) {
    refuse(in, pointer + "/ep",
           "ep " + text(layout.ep) + " for " + model.id + ", which has no experts", "allowed: 1");
  }
  // Embedding and head may be stages of their own (Llama 3: 128 stages for 126 layers). Without
  // virtual stages some stacks even leave stages empty; with them none does.
  const auto layers = static_cast<long>(model.layers.size());
  const long pieces = layers + 2 + model.mtp_modules;
  if (layout.pp > pieces) {
    in.took(pointer + "/pp", text(layout.pp),
            "more stages than the " + text(layers) + " layers: some hold none");
  }
  if (layout.vpp > 1 && layout.pp > pieces / layout.vpp) {
    refuse(in, pointer + "/vpp",
           "pp " + text(layout.pp) + " x vpp " + text(layout.vpp) + " is more than the " +
               text(layers) + " layers of " + model.id + " with embedding and head",
           "allowed: pp x vpp up to " + text(pieces));
  }
}

Json write_layout(const Parallelism& layout) {
  Json out = Json::object();
  out["tp"] = layout.tp;
  out["pp"] = layout.pp;
  out["vpp"] = layout.vpp;
  out["cp"] = layout.cp;
  out["ep"] = layout.ep;
  out["etp"] = layout.etp;
  out["dp"] = layout.dp;
  out["sp"] = layout.sp;
  out["sharding"] = sharding_name(layout.sharding);
  if (layout.sharding_group != 0) out["sharding_group"] = layout.sharding_group;
  return out;
}

}  // namespace jevons::reports
