#include "jevons/host/kernel_cases.hpp"

#include "cases.hpp"

#include "jevons/reference/attention.hpp"
#include "jevons/reference/elementwise.hpp"
#include "jevons/reference/gemm.hpp"
#include "jevons/reference/moe.hpp"
#include "jevons/reference/ssm.hpp"

#include <memory>
#include <string>
#include <utility>

namespace jevons::host {
namespace {

volatile float g_sink = 0;

using namespace workloads;  // NOLINT(google-build-using-namespace): shapes by the dozen
namespace ref = reference;
using Matrix = ref::Matrix<float>;

double d(long value) {
  return static_cast<double>(value);
}

Operator fp32(Shape shape, Module module = Module::other) {
  Operator op;
  op.shape = std::move(shape);
  op.format = op.weight_format = op.activation_format = NumberFormat{Format::fp32, 0};
  op.module = module;
  return op;
}

/// A case from the operator that claims its work, with what the kernel does beside it.
KernelCase make_case(std::string group, std::string name, const Operator& op,
                     const HostWork& beside, std::function<void()> run) {
  KernelCase c;
  c.group = std::move(group);
  c.name = std::move(name);
  c.work = host_work(op);
  c.work += beside;
  c.flops = work_of(op).flops;
  c.run = std::move(run);
  return c;
}

std::string shape_name(const char* kernel, long m, long n, long k) {
  return std::string(kernel) + ' ' + std::to_string(m) + 'x' + std::to_string(n) + 'x' +
         std::to_string(k);
}

void products(std::vector<KernelCase>& out) {
  const long shapes[][3] = {{96, 384, 320}, {37, 131, 257}, {200, 700, 450}, {5, 768, 770},
                            {1, 1000, 768}, {24, 96, 640},  {300, 60, 300},  {12, 33, 45}};
  for (const auto& [m, n, k] : shapes) {
    const auto a = random_matrix(m, k, 1), b = random_matrix(k, n, 2);
    out.push_back(make_case("product", shape_name("gemm", m, n, k), fp32(Gemm{d(m), d(n), d(k)}),
                            {}, [a, b] { keep(ref::gemm(a, b)); }));
  }
  const auto dy = random_matrix(70, 300, 3), w = random_matrix(210, 300, 4);
  out.push_back(make_case("product", shape_name("gemm_bt", 70, 210, 300), fp32(Gemm{70, 210, 300}),
                          {}, [dy, w] { keep(ref::gemm_bt(dy, w)); }));
  const auto x = random_matrix(90, 250, 5), dz = random_matrix(90, 310, 6);
  out.push_back(make_case("product", shape_name("gemm_at", 250, 310, 90), fp32(Gemm{250, 310, 90}),
                          {}, [x, dz] { keep(ref::gemm_at(x, dz)); }));
}

struct AttentionSize {
  const char* name;
  AttentionPhase phase;
  long heads, kv_heads, queries, keys, qk, v, window;
};

void attention(std::vector<KernelCase>& out) {
  const AttentionSize sizes[] = {
      {"attention, 8 heads, prompt of 160", AttentionPhase::forward, 8, 2, 160, 160, 64, 64, 0},
      {"attention, MLA widths, prompt of 96", AttentionPhase::forward, 8, 8, 96, 96, 48, 32, 0},
      {"attention, window of 64 in 300", AttentionPhase::forward, 4, 4, 300, 300, 64, 64, 64},
      {"attention, chunk of 24 after 400", AttentionPhase::forward, 8, 2, 24, 424, 64, 64, 0},
      {"attention, decode at 700", AttentionPhase::decode, 16, 4, 1, 700, 64, 64, 0},
      {"attention backward, prompt of 96", AttentionPhase::backward, 4, 4, 96, 96, 64, 64, 0}};
  for (const AttentionSize& s : sizes) {
    const auto q = random_matrix(s.queries, s.heads * s.qk, 1);
    const auto k = random_matrix(s.keys, s.kv_heads * s.qk, 2);
    const auto v = random_matrix(s.keys, s.kv_heads * s.v, 3);
    AttentionCore core;
    core.phase = s.phase;
    core.heads = d(s.heads);
    core.kv_heads = d(s.kv_heads);
    core.q_len = d(s.queries);
    core.kv_len = d(s.keys);
    core.qk_dim = d(s.qk);
    core.v_dim = d(s.v);
    core.window = d(s.window);
    const ref::HeadShape shape{s.heads, s.kv_heads, s.qk, s.v, s.window};
    const Operator op = fp32(core, Module::attention_core);
    if (s.phase == AttentionPhase::backward) {
      const auto dout = random_matrix(s.queries, s.heads * s.v, 4);
      out.push_back(make_case("attention", s.name, op, {},
                              [=] { keep(ref::attention_backward(q, k, v, dout, shape).k); }));
    } else {
      out.push_back(
          make_case("attention", s.name, op, {}, [=] { keep(ref::attention(q, k, v, shape)); }));
    }
  }
}

void latent_attention(std::vector<KernelCase>& out) {
  ref::MlaShape s;
  s.hidden = 256;
  s.heads = 8;
  s.kv_rank = 64;
  s.rope = 16;
  s.nope = s.v_dim = 32;
  for (const auto& [queries, keys] : {std::pair{1L, 500L}, std::pair{4L, 300L}}) {
    const auto q = random_matrix(queries, s.heads * (s.kv_rank + s.rope), 1);
    const auto cache = random_matrix(keys, s.kv_rank + s.rope, 2);
    MlaDecode core;
    core.batch = 1;
    core.heads = d(s.heads);
    core.q_len = d(queries);
    core.kv_len = d(keys);
    core.kv_lora_rank = d(s.kv_rank);
    core.rope_dim = d(s.rope);
    out.push_back(make_case(
        "attention", "mla_core, " + std::to_string(queries) + " queries of " + std::to_string(keys),
        fp32(core, Module::attention_core), {}, [=] { keep(ref::mla_core(q, cache, s)); }));
  }
  const ref::IndexerShape index{4, 32, 64};
  const long queries = 48, keys = 256;
  const auto q = random_matrix(queries, index.heads * index.dim, 3);
  const auto k = random_matrix(keys, index.dim, 4),
             weights = random_matrix(queries, index.heads, 5);
  KernelCase c;
  c.group = "attention";
  c.name = "indexer_scores, 48 queries of 256";
  const double pairs = mean_keys_seen(d(queries), d(keys), 0, true) * d(queries * index.heads);
  c.flops = 2 * pairs * d(index.dim);
  c.work.calls = 1;
  c.work.dots.push_back({c.flops, d(index.dim)});
  c.work.elements = pairs;
  c.work.results.push_back(4 * d(queries * keys));
  c.run = [=] { keep(ref::indexer_scores(q, k, weights, index)); };
  out.push_back(std::move(c));
}

void elementwise(std::vector<KernelCase>& out) {
  for (const auto& [rows, cols] : {std::pair{200L, 500L}, std::pair{1L, 2000L}}) {
    const auto x = random_matrix(rows, cols, 1);
    const std::vector<float> gain(static_cast<std::size_t>(cols), 1.1F);
    const double bytes = 4 * d(rows * cols);
    const std::string size = std::to_string(rows) + 'x' + std::to_string(cols);
    out.push_back(make_case("element-wise", "rms_norm " + size,
                            fp32(Elementwise{bytes, bytes}, Module::norm), {},
                            [=] { keep(ref::rms_norm(x, gain, 1e-6)); }));
    const auto gate_up = random_matrix(rows, 2 * cols, 2);
    out.push_back(make_case("element-wise", "swiglu " + size,
                            fp32(Elementwise{2 * bytes, bytes}, Module::mlp), {},
                            [=] { keep(ref::swiglu(gate_up)); }));
  }
  auto rotated = std::make_shared<Matrix>(random_matrix(100, 64, 3));
  KernelCase rope;
  rope.group = "element-wise";
  rope.name = "apply_rope 100x64";
  rope.work.turns = 100 * 32 + 32;  // angles, and the frequency of each pair
  rope.run = [rotated] {
    ref::apply_rope(*rotated, 0, 64, 7, ref::Rope{});
    keep(*rotated);
  };
  out.push_back(std::move(rope));
}

void experts(std::vector<KernelCase>& out) {
  const long hidden = 256, width = 128, count = 16, top_k = 4;
  std::vector<ref::FfnWeights<float>> weights;
  for (long e = 0; e < count; ++e) {
    const auto seed = static_cast<unsigned>(2 * e);
    weights.push_back({random_matrix(hidden, 2 * width, seed), random_matrix(width, hidden, seed)});
  }
  for (const long tokens : {60L, 4L}) {
    const auto x = random_matrix(tokens, hidden, 99);
    const auto routes = ref::route(random_matrix(tokens, count, 98), std::vector<float>{},
                                   {count, top_k, 4, 2, true});
    MoeExperts shape;
    shape.tokens = d(tokens);
    shape.hidden = d(hidden);
    shape.intermediate = d(width);
    shape.top_k = d(top_k);
    shape.experts = d(count);
    shape.routing = Routing::uniform;
    HostWork beside;  // gathered, activated, added to their tokens
    const double rows = expert_rows(shape);
    beside.copies = rows * d(hidden);
    beside.exps = beside.elements = rows * d(width);
    beside.axpys.push_back({2 * rows * d(hidden), d(hidden)});
    KernelCase c = make_case("experts", "moe, " + std::to_string(tokens) + " tokens",
                             fp32(shape, Module::experts), beside,
                             [=] { keep(ref::moe(x, routes, weights, {})); });
    c.working_set = experts_hit(shape) * 4 * 3 * d(hidden * width);
    out.push_back(std::move(c));
  }
}

void scans(std::vector<KernelCase>& out) {
  const ref::SsmShape s{8, 32, 32, 1};
  const long tokens = 128;
  ref::SsmInput<float> in;
  in.x = random_matrix(tokens, s.heads * s.head_dim, 1);
  in.step = Matrix(tokens, s.heads, 0.1F);
  in.b = random_matrix(tokens, s.groups * s.state, 2);
  in.c = random_matrix(tokens, s.groups * s.state, 3);
  in.a.assign(static_cast<std::size_t>(s.heads), -1.0F);
  in.d.assign(static_cast<std::size_t>(s.heads), 0.5F);
  const double states = d(tokens * s.heads * s.head_dim * s.state);
  KernelCase c;
  c.group = "scan";
  c.name = "ssm_recurrent, 128 tokens";
  c.flops = 4 * states;  // each state element decays and takes in, then is read out
  c.work.calls = 1;
  c.work.dots.push_back({2 * states, d(s.state)});
  c.work.axpys.push_back({2 * states, d(s.state)});
  c.run = [=] {
    ref::SsmState<float> state;
    keep(ref::ssm_recurrent(in, s, state));
  };
  out.push_back(std::move(c));
}

}  // namespace

ref::Matrix<float> random_matrix(long rows, long cols, unsigned seed) {
  Matrix m(rows, cols);
  std::uint32_t state = 2654435769U * (seed + 1);
  for (float& value : m.data()) {
    state = state * 1664525U + 1013904223U;
    value = (static_cast<float>(state >> 8) / 8388608.0F - 1.0F) * 0.25F;
  }
  return m;
}

void keep(const ref::Matrix<float>& result) {
  g_sink = result.data().back();
}

std::vector<KernelCase> kernel_cases() {
  std::vector<KernelCase> out;
  products(out);
  attention(out);
  latent_attention(out);
  elementwise(out);
  experts(out);
  scans(out);
  toy_cases(out);
  return out;
}

}  // namespace jevons::host
