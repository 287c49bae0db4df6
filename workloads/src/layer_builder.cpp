#include "layer_builder.hpp"

#include <algorithm>
#include <utility>

namespace jevons::workloads::detail {
namespace {

Shape back_collective(const Collective& c) {
  Collective back = c;
  if (c.kind == CollectiveKind::all_gather) back.kind = CollectiveKind::reduce_scatter;
  if (c.kind == CollectiveKind::reduce_scatter) back.kind = CollectiveKind::all_gather;
  return back;
}

/// Bytes of an accumulated weight-gradient element: read and written.
double accumulate_bytes(const Precision& p) {
  return 2 * activation_bytes(p.gradients);
}

}  // namespace

bool quantised(const Precision& p) {
  return payload_bits(p.gemm) < payload_bits(p.activations);
}

NumberFormat gemm_input(const Precision& p) {
  return quantised(p) ? p.gemm : p.activations;
}

NumberFormat index_format(const Precision& p) {
  return is_float8(p.gemm) ? NumberFormat{Format::fp8_block, 0} : p.attention;
}

NumberFormat cache_format(const Attention& a, const Precision& p) {
  if (a.index_topk == 0 || !is_float8(p.kv_cache)) return p.kv_cache;
  const auto elements = static_cast<double>(a.kv_lora_rank + a.rope_dim);
  return {Format::bits, 8 * kv_bytes_per_token(a, p.kv_cache) / elements};
}

Builder::Builder(const ModelConfig& model, const LayerContext& context, bool for_backward)
    : model_(model),
      context_(context),
      for_backward_(for_backward),
      width_(activation_bytes(context.precision.activations)) {
  constexpr std::size_t kTypical = 40;
  graph_.operators.reserve(kTypical);
  graph_.edges.reserve(2 * kTypical);
  if (for_backward_) reverse_.reserve(kTypical);
}

Builder::Builder(const ModelConfig& model, const LayerContext& context, const DecodeContext& step)
    : Builder(model, context, false) {
  step_ = &step;
}

Operator Builder::make(std::string_view name, Module module, Shape shape) const {
  const Precision& p = context_.precision;
  return {.name = std::string(name),
          .shape = std::move(shape),
          .format = p.activations,
          .weight_format = p.weights,
          .activation_format = p.activations,
          .phase = Phase::forward,
          .module = module};
}

std::size_t Builder::push(Operator op, Mirror mirror, Shape back, After after) {
  const std::size_t index = graph_.operators.size();
  graph_.operators.push_back(std::move(op));
  for (const std::size_t from : after) {
    if (from != kInput) graph_.edges.push_back({from, index});
  }
  if (also_ != kInput) graph_.edges.push_back({std::exchange(also_, kInput), index});
  if (for_backward_) {
    Reverse r{.mirror = mirror, .shape = std::move(back)};
    if (mirror == Mirror::regather) r.gathered = index;
    // A cast passes its input on: whoever reads it needs the gathered tensor again.
    const std::size_t first = after.size() > 0 ? *after.begin() : kInput;
    if ((mirror == Mirror::pass || mirror == Mirror::gemm) && first != kInput) {
      r.gathered = reverse_[first].mirror == Mirror::gemm ? kInput : reverse_[first].gathered;
    }
    reverse_.push_back(std::move(r));
  }
  return index;
}

std::size_t Builder::linear(std::string_view name, Module module, double m, double n, double k,
                            std::size_t after, double groups) {
  Operator op =
      make(name, module, Gemm{.m = m, .n = n, .k = k, .groups = groups, .output_bytes = width_});
  op.format = context_.precision.gemm;
  op.activation_format = gemm_input(context_.precision);
  return push(std::move(op), Mirror::gemm, {}, {after});
}

std::size_t Builder::wide_linear(std::string_view name, Module module, double m, double n, double k,
                                 std::size_t after, double groups) {
  Operator op =
      make(name, module, Gemm{.m = m, .n = n, .k = k, .groups = groups, .output_bytes = width_});
  op.weight_format = op.format;
  return push(std::move(op), Mirror::gemm, {}, {after});
}

std::size_t Builder::quantise(Module module, double elements, std::size_t after) {
  const Precision& p = context_.precision;
  if (!quantised(p)) return after;
  const bool columns = context_.training && p.gemm.format != Format::fp8_block;
  const double written = elements * activation_bytes(p.gemm) * (columns ? 2 : 1);
  Operator op =
      make("cast", module, Elementwise{.bytes_read = elements * width_, .bytes_written = written});
  return push(std::move(op), Mirror::pass, {}, {after});
}

std::size_t Builder::quantise_as(NumberFormat format, Module module, double elements,
                                 std::size_t after) {
  const Elementwise cast{.bytes_read = elements * width_,
                         .bytes_written = elements * activation_bytes(format)};
  // Its mirror, the cast of the gradient, goes with the combine's backward dispatch.
  return push(make("cast", module, cast), Mirror::self, cast, {after});
}

std::size_t Builder::elementwise(std::string_view name, Module module, const Traffic& t,
                                 After after) {
  Operator op = make(name, module,
                     Elementwise{.bytes_read = t.read,
                                 .bytes_written = t.written,
                                 .flops = t.flops,
                                 .launches = t.launches});
  const bool back = t.back_read + t.back_written > 0;
  return push(std::move(op), back ? Mirror::self : Mirror::pass,
              Elementwise{.bytes_read = t.back_read,
                          .bytes_written = t.back_written,
                          .flops = 2 * t.flops,
                          .launches = t.back_launches},
              after);
}

std::size_t Builder::norm(std::string_view name, double elements, std::size_t after) {
  const double x = elements * width_;  // backward reads x and dy, writes dx
  return elementwise(name, Module::norm,
                     {.read = x, .written = x, .back_read = 2 * x, .back_written = x}, {after});
}

std::size_t Builder::residual(double elements, After after) {
  const double x = elements * width_;  // backward adds the two gradients that meet here
  return elementwise("residual", Module::other,
                     {.read = 2 * x, .written = x, .back_read = 2 * x, .back_written = x}, after);
}

std::size_t Builder::add_norm(std::string_view name, double elements, std::size_t after) {
  const double x = elements * width_;
  return elementwise(name, Module::norm, {.read = 2 * x, .written = 2 * x}, {after});
}

std::size_t Builder::cached_core(std::string_view name, Shape shape, NumberFormat cache,
                                 After after) {
  Operator op = make(name, Module::attention_core, std::move(shape));
  op.format = context_.precision.attention;
  op.activation_format = cache;
  return push(std::move(op), Mirror::pass, {}, after);
}

std::size_t Builder::core(std::string_view name, Shape shape, After after) {
  Shape back = shape;
  if (auto* a = std::get_if<AttentionCore>(&back)) {
    a->phase = AttentionPhase::backward;
  } else if (auto* m = std::get_if<MlaDecode>(&back)) {
    m->backward = true;
  } else if (auto* s = std::get_if<Scan>(&back)) {
    s->flops *= 2;
    s->bytes *= 2;
  } else if (auto* g = std::get_if<Gemm>(&back)) {
    g->groups *= 2;  // unfused: one product for each operand's gradient
  }
  Operator op = make(name, Module::attention_core, std::move(shape));
  op.format = context_.precision.attention;
  op.weight_format = op.activation_format;  // no weights: the second operand is an activation
  return push(std::move(op), Mirror::self, std::move(back), after);
}

std::size_t Builder::indexer_scores(const AttentionCore& shape, After after) {
  Operator op = make("idx_scores", Module::indexer, shape);
  const NumberFormat format = index_format(context_.precision);
  op.format = op.activation_format = format;
  AttentionCore back = shape;
  back.phase = AttentionPhase::backward;
  return push(std::move(op), Mirror::self, back, after);
}

std::size_t Builder::experts(const MoeExperts& shape, std::size_t after) {
  Operator op = make("experts", Module::experts, shape);
  op.format = context_.precision.gemm;
  op.activation_format = gemm_input(context_.precision);
  return push(std::move(op), Mirror::experts, {}, {after});
}

std::size_t Builder::exchange(bool combine, double tokens, const FeedForward& ffn,
                              std::size_t after) {
  const Precision& p = context_.precision;
  // A step without prompt chunks is small: the latency-optimised kernels.
  MoeExchange x{
      .combine = combine,
      .low_latency = step_ != nullptr && step_->prefill_tokens <= 0,
      .tokens = tokens,
      .hidden = hidden(),
      .top_k = static_cast<double>(ffn.top_k),
      .experts = static_cast<double>(ffn.experts),
      .group_limit = ffn.groups > ffn.group_limit ? static_cast<double>(ffn.group_limit) : 0,
      .ranks = context_.parallelism.ep,
      .stride = context_.parallelism.ep_stride(),
      .bytes_per_element = activation_bytes(combine ? p.combine : p.dispatch)};
  // The gradient of a combine is a dispatch, quantised like one, and the other way round.
  MoeExchange back = x;
  back.combine = !combine;
  back.bytes_per_element = activation_bytes(combine ? p.dispatch : p.combine);
  return push(make(combine ? "combine" : "dispatch", Module::exchange, x), Mirror::self, back,
              {after});
}

std::size_t Builder::ring(double bytes_per_hop, std::size_t after) {
  const Parallelism& l = context_.parallelism;
  if (l.cp == 1) return after;
  Collective c{.kind = CollectiveKind::p2p,
               .bytes = bytes_per_hop * (cp() - 1),
               .ranks = l.cp,
               .stride = l.cp_stride()};
  Collective back = c;
  back.bytes *= 2;  // keys and values go round again, and their gradients with them
  return push(make("cp_ring", Module::attention_core, c), Mirror::self, back, {after});
}

std::size_t Builder::collective(std::string_view name, Module module, CollectiveKind kind,
                                double bytes, long ranks, long stride, std::size_t after) {
  if (ranks == 1) return after;
  const Collective c{.kind = kind, .bytes = bytes, .ranks = ranks, .stride = stride};
  return push(make(name, module, c), Mirror::self, back_collective(c), {after});
}

std::size_t Builder::reduce_forward(std::string_view name, Module module, double bytes,
                                    std::size_t after) {
  const long ranks = context_.parallelism.tp;
  if (ranks == 1) return after;
  const Collective c{.kind = CollectiveKind::all_reduce, .bytes = bytes, .ranks = ranks};
  return push(make(name, module, c), Mirror::pass, {}, {after});
}

std::size_t Builder::enter(double row, std::size_t after) {
  const Parallelism& l = context_.parallelism;
  if (l.tp == 1 || region_open_) return after;
  const double bytes = tokens() * row * width_;
  if (sp()) {
    const Collective c{.kind = CollectiveKind::all_gather, .bytes = bytes, .ranks = l.tp};
    return push(make("tp_gather", Module::other, c), Mirror::regather, back_collective(c), {after});
  }
  if (!for_backward_) return after;
  const Collective c{.kind = CollectiveKind::all_reduce, .bytes = bytes, .ranks = l.tp};
  return push(make("tp_reduce", Module::other, c), Mirror::self, c, {after});
}

std::size_t Builder::leave(double row, std::size_t after) {
  const Parallelism& l = context_.parallelism;
  if (l.tp == 1 || region_open_) return after;
  const double bytes = tokens() * row * width_;
  const Collective c{.kind = sp() ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce,
                     .bytes = bytes,
                     .ranks = l.tp};
  // An all-reduce out of the region is the identity for gradients.
  return push(make(sp() ? "tp_scatter" : "tp_reduce", Module::other, c),
              sp() ? Mirror::self : Mirror::pass, back_collective(c), {after});
}

std::size_t Builder::open_region(std::size_t after) {
  const std::size_t entered = enter(hidden(), after);
  region_open_ = true;
  return entered;
}

std::size_t Builder::close_region(std::size_t after) {
  region_open_ = false;
  return leave(hidden(), after);
}

std::size_t Builder::slice(double row, std::size_t after) {
  const Parallelism& l = context_.parallelism;
  if (l.tp == 1 || sp() || !for_backward_) return after;
  const Collective c{
      .kind = CollectiveKind::all_gather, .bytes = tokens() * row * width_, .ranks = l.tp};
  return push(make("token_gather", Module::exchange, c), Mirror::self, c, {after});
}

// ---- the backward graph ----

OperatorGraph Builder::backward() const {
  const std::size_t n = graph_.operators.size();
  OperatorGraph out;
  out.operators.reserve(3 * n);
  out.edges.reserve(5 * n);
  std::vector<std::size_t> regathered(n, kInput);
  for (std::size_t i = 0; i < n; ++i) {
    if (reverse_[i].mirror != Mirror::regather) continue;
    Operator op = graph_.operators[i];
    op.phase = Phase::weight_gradient;
    regathered[i] = out.add(std::move(op), {});
  }
  std::vector<std::vector<std::size_t>> waits(n);  // what each node's output gradient waits for
  std::vector<std::vector<std::size_t>> inputs(n);
  for (const Edge& e : graph_.edges) inputs[e.to].push_back(e.from);
  for (std::size_t i = n; i-- > 0;) {
    std::vector<std::size_t>& done = waits[i];
    std::sort(done.begin(), done.end());
    done.erase(std::unique(done.begin(), done.end()), done.end());
    reverse(out, i, done, regathered);
    for (const std::size_t from : inputs[i]) {
      waits[from].insert(waits[from].end(), done.begin(), done.end());
    }
  }
  return out;
}

void Builder::reverse(OperatorGraph& out, std::size_t node, std::vector<std::size_t>& done,
                      const std::vector<std::size_t>& regathered) const {
  const Reverse& r = reverse_[node];
  switch (r.mirror) {
    case Mirror::pass: return;
    case Mirror::gemm: reverse_gemm(out, node, done, regathered); return;
    case Mirror::experts: reverse_experts(out, node, done); return;
    case Mirror::self:
    case Mirror::regather: {
      Operator op = graph_.operators[node];
      op.shape = r.shape;
      op.phase = Phase::input_gradient;
      done = {out.add(std::move(op), std::span<const std::size_t>(done))};
      return;
    }
  }
}

void Builder::cast_gradient(OperatorGraph& out, const Operator& op, double elements,
                            std::vector<std::size_t>& done) const {
  if (payload_bits(op.activation_format) >= payload_bits(context_.precision.activations)) return;
  Operator cast =
      make("cast_gradient", op.module,
           Elementwise{.bytes_read = elements * width_,
                       .bytes_written = 2 * elements * activation_bytes(op.activation_format)});
  cast.phase = Phase::input_gradient;
  done = {out.add(std::move(cast), std::span<const std::size_t>(done))};
}

void Builder::requantise(OperatorGraph& out, const Operator& op, double elements,
                         std::vector<std::size_t>& waits) const {
  if (op.activation_format.format != Format::fp8_block) return;
  const double bytes = elements * activation_bytes(op.activation_format);
  Operator cast =
      make("requantise", op.module, Elementwise{.bytes_read = bytes, .bytes_written = bytes});
  cast.phase = Phase::weight_gradient;
  waits.push_back(out.add(std::move(cast), {}));
}

void Builder::reverse_gemm(OperatorGraph& out, std::size_t node, std::vector<std::size_t>& done,
                           const std::vector<std::size_t>& regathered) const {
  const Operator& op = graph_.operators[node];
  const Gemm g = std::get<Gemm>(op.shape);
  cast_gradient(out, op, g.m * g.n * g.groups, done);
  std::vector<std::size_t> waits = done;
  const std::size_t gathered = reverse_[node].gathered;
  if (gathered != kInput) waits.push_back(regathered[gathered]);
  requantise(out, op, g.m * g.k * g.groups, waits);

  Operator input = op;
  input.phase = Phase::input_gradient;
  input.shape =
      Gemm{.m = g.m, .n = g.k, .k = g.n, .groups = g.groups, .output_bytes = g.output_bytes};
  done = {out.add(std::move(input), std::span<const std::size_t>(done))};

  Operator weight = op;
  weight.phase = Phase::weight_gradient;
  weight.shape = Gemm{.m = g.n,
                      .n = g.k,
                      .k = g.m,
                      .groups = g.groups,
                      .output_bytes = accumulate_bytes(context_.precision),
                      .weight_gradient = true};
  out.add(std::move(weight), std::span<const std::size_t>(waits));
}

void Builder::reverse_experts(OperatorGraph& out, std::size_t node,
                              std::vector<std::size_t>& done) const {
  const Operator& op = graph_.operators[node];
  MoeExperts e = std::get<MoeExperts>(op.shape);
  const double width = e.intermediate / static_cast<double>(e.etp);
  const double rows = expert_rows(e);
  // Output gradients of the down projection and of gate and up.
  cast_gradient(out, op, rows * (e.hidden + (e.gated ? 2 : 1) * width), done);
  std::vector<std::size_t> waits = done;
  requantise(out, op, rows * (e.hidden + width), waits);

  Operator input = op;
  input.phase = Phase::input_gradient;
  done = {out.add(std::move(input), std::span<const std::size_t>(done))};

  Operator weight = op;
  weight.phase = Phase::weight_gradient;
  e.backward_weight = true;
  weight.shape = e;
  out.add(std::move(weight), std::span<const std::size_t>(waits));
}

}  // namespace jevons::workloads::detail
