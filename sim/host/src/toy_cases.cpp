// The V3-shaped toy model as a whole: its time is the sum over the operators of the graphs that the
// cost model builds for the same ModelConfig.
#include "cases.hpp"

#include "jevons/reference/model.hpp"
#include "jevons/workloads/graph.hpp"
#include "jevons/workloads/model.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <memory>
#include <string>

namespace jevons::host {
namespace {

namespace wl = workloads;
using reference::MlaMode;
using ToyModel = reference::Model<float>;
using ToyCache = reference::Cache<float>;

double d(long value) {
  return static_cast<double>(value);
}

wl::ModelConfig toy_config() {
  const Json config{{"model_type", "deepseek_v3"},
                    {"num_hidden_layers", 3},
                    {"hidden_size", 240},
                    {"num_attention_heads", 8},
                    {"q_lora_rank", 120},
                    {"kv_lora_rank", 64},
                    {"qk_nope_head_dim", 32},
                    {"qk_rope_head_dim", 16},
                    {"v_head_dim", 32},
                    {"intermediate_size", 640},
                    {"moe_intermediate_size", 112},
                    {"n_routed_experts", 8},
                    {"n_shared_experts", 1},
                    {"num_experts_per_tok", 2},
                    {"first_k_dense_replace", 1},
                    {"n_group", 4},
                    {"topk_group", 2},
                    {"vocab_size", 1000},
                    {"num_nextn_predict_layers", 1}};
  return wl::model_from_config(config, "toy");
}

std::vector<long> some_tokens(long count, long vocab) {
  std::vector<long> out;
  for (long i = 0; i < count; ++i) out.push_back((i * 7 + i * i * 3 + 1) % vocab);
  return out;
}

/// What the reference's MLA does beside the claimed operators: it cuts matrices into heads and back
/// by copying, and works out rotary angles anew for every head.
HostWork mla_beside(const wl::Attention& a, double tokens, double keys, MlaMode mode) {
  const double heads = d(a.heads), rank = d(a.kv_lora_rank), rope = d(a.rope_dim);
  const double nope = d(a.nope_dim), v = d(a.v_dim);
  HostWork w;
  w.turns = (heads + 1) * (tokens + 1) * rope / 2;
  w.copies = 2 * tokens * rank;
  if (mode == MlaMode::expanded) {
    w.copies += keys * (rank + rope) + heads * keys * (2 * nope + rope + 2 * v);
    w.results.push_back(4 * keys * heads * (nope + rope + v));
  } else {
    w.copies += heads * (tokens * (2 * nope + 2 * rank + 2 * rope + v) + rank * (nope + v));
    w.calls += 8 * heads;  // a small matrix for each piece
  }
  // The cache is copied before the step and moves when it grows.
  w.results.push_back(8 * keys * (rank + rope));
  return w;
}

/// The router's choice: a sigmoid an expert, then sorting by group and within.
HostWork route_beside(const wl::FeedForward& f, double tokens) {
  HostWork w;
  if (f.kind == wl::FfnKind::dense) return w;
  const double experts = d(f.experts);
  w.exps = tokens * experts;
  w.choices = 2 * tokens * experts * std::log2(experts);
  w.calls = tokens * (2 * d(f.groups) + 8);  // short lists
  return w;
}

void without(wl::OperatorGraph& graph, std::string_view name) {
  std::erase_if(graph.operators, [&](const wl::Operator& op) { return op.name == name; });
}

struct Sum {
  HostWork work;
  double flops = 0, weights = 0;
  void add(const wl::OperatorGraph& graph) {
    work += host_work(graph);
    for (const wl::Operator& op : graph.operators) {
      const wl::Work claimed = work_of(op);
      flops += claimed.flops;
      // The claims are of 2-byte weights; the reference holds 4-byte numbers.
      weights += 2 * claimed.bytes[static_cast<std::size_t>(wl::TensorClass::weights)];
    }
  }
};

Sum prefill_sum(const wl::ModelConfig& config, long tokens) {
  wl::LayerContext context;
  context.tokens = context.sequence = d(tokens);
  context.training = false;
  Sum sum;
  for (const wl::Layer& layer : config.layers) {
    sum.add(layer_forward(config, layer, context));
    sum.work += mla_beside(layer.attention, d(tokens), d(tokens), MlaMode::expanded);
    sum.work += route_beside(layer.ffn, d(tokens));
  }
  sum.add(embedding_forward(config, context));
  wl::OperatorGraph head = head_forward(config, context);
  without(head, "cross_entropy");
  sum.add(head);
  return sum;
}

Sum decode_sum(const wl::ModelConfig& config, const std::vector<wl::Layer>& layers, long context) {
  wl::DecodeContext step;
  step.sequences = 1;
  step.context = d(context);
  Sum sum;
  for (const wl::Layer& layer : layers) {
    sum.add(layer_decode(config, layer, step));
    sum.work += mla_beside(layer.attention, 1, d(context), MlaMode::absorbed);
    sum.work += route_beside(layer.ffn, 1);
  }
  wl::OperatorGraph head = head_decode(config, step);
  without(head, "sampling");
  sum.add(head);
  return sum;
}

KernelCase toy_case(std::string name, Sum sum, std::function<void()> run) {
  KernelCase c;
  c.group = "toy model";
  c.name = std::move(name);
  c.work = std::move(sum.work);
  c.flops = sum.flops;
  c.working_set = sum.weights;
  c.run = std::move(run);
  return c;
}

}  // namespace

void toy_cases(std::vector<KernelCase>& out) {
  const auto model = std::make_shared<const ToyModel>(toy_config(), 1U);
  const wl::ModelConfig& config = model->config();
  for (const long tokens : {64L, 200L}) {
    const auto prompt = some_tokens(tokens, config.vocab);
    out.push_back(toy_case("prefill of " + std::to_string(tokens) + " tokens",
                           prefill_sum(config, tokens), [model, prompt] {
                             ToyCache cache;
                             keep(model->logits(model->hidden(prompt, cache, MlaMode::expanded)));
                           }));
  }
  for (const long context : {100L, 500L}) {
    ToyCache before;
    const auto h = model->hidden(some_tokens(context - 1, config.vocab), before, MlaMode::expanded);
    out.push_back(toy_case("decode at " + std::to_string(context) + " tokens",
                           decode_sum(config, config.layers, context), [model, before] {
                             ToyCache cache = before;
                             keep(model->logits(model->hidden({7}, cache, MlaMode::absorbed)));
                           }));
  }
  const long context = 100;
  ToyCache draft;
  const auto prompt = some_tokens(context, config.vocab);
  ToyCache main;
  const auto h = model->hidden(prompt, main, MlaMode::expanded);
  static_cast<void>(model->mtp_hidden(0, reference::slice_rows(h, 0, context - 1),
                                      {prompt.begin() + 1, prompt.end()}, draft,
                                      MlaMode::expanded));
  const auto last = reference::slice_rows(h, context - 1, 1);
  Sum sum = decode_sum(config, {mtp_layer(config)}, context);
  wl::DecodeContext step;
  step.sequences = 1;
  step.context = d(context);
  sum.add(mtp_input_decode(config, step));
  out.push_back(toy_case("MTP draft at 100 tokens", std::move(sum), [model, draft, last] {
    ToyCache cache = draft;
    keep(model->logits(model->mtp_hidden(0, last, {5}, cache, MlaMode::absorbed)));
  }));
}

}  // namespace jevons::host
