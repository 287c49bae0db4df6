// Attention cores on the chip: decode and prefill (grouped-query, FlashAttention-3 class), MLA
// expanded (engine kernels), training forward and backward, MLA absorbed decode.
//
// Each form is work items on SMs plus streams; the equations stand at their functions.
// Source: ai-dynamo/aiconfigurator attention tables (H200 vLLM 0.22 GQA; H100 and B200 TensorRT-LLM
// 1.3.0rc20 MLA); training: cuDNN rates of arXiv 2603.07685. Known errors (MAPE / P90): GQA decode
// 9.4 / 18.9, GQA prefill 10.7 / 21.9, MLA decode 7-9 / 20, MLA prefill 5-6 / 12.
// Units: us; b bytes per KV element, e head width, S keys, SM units.
#include "kernel_cost.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

using workloads::AttentionCore;
using workloads::AttentionPhase;

constexpr double kTile = 128;       // query rows and keys of a FlashAttention tile
constexpr double kDecodeRows = 64;  // query rows of one decode work item
constexpr double kMostSplits = 32;
constexpr double kScheduledBatch = 992;  // above it the scheduler no longer adds per sequence
constexpr double kWindowCost = 2;        // us
constexpr double kJoinedKeys = 8192;     // keys of a batch from which MLA decode splits the cache
constexpr double kEnough = 0.8;          // items over units from which KV is not split

bool fp8_cache(const workloads::Operator& op) {
  return payload_bits(op.activation_format) <= 8;
}

double cache_bytes(const workloads::Operator& op) {
  return activation_bytes(op.activation_format);
}

/// n = B g ceil(q h/g/64) items; ns splits; stream = KV bytes over the asymptotic rate with ramp;
/// chain = waves (tc sqrt(e/128) + bytes of one item / one unit's pull);
/// t = t0 + (stream^5 + chain^5)^(1/5) + (2 us if windowed).
KernelTime gqa_decode(const AttentionCore& s, const workloads::Operator& op,
                      const KernelConstants& c, double units, Formula* formula) {
  const AttentionConstants& a = c.attention;
  const double e = (s.qk_dim + s.v_dim) / 2;
  const bool windowed = s.window > 0 && s.window < s.kv_len;
  const double held = s.kv_len + s.ahead;  // up to the last query
  const double keys = windowed ? std::min(held, s.window + kTile) : held;
  const double b = cache_bytes(op);
  const double slow = !fp8_cache(op) ? 1 : (e <= 128 ? a.fp8_rate : a.fp8_rate_wide);
  const double items = s.batch * s.kv_heads * whole(s.q_len * s.heads / s.kv_heads / kDecodeRows);
  const double blocks = whole(keys / kTile);
  const double splits =
      items >= kEnough * units
          ? 1
          : std::max(1.0, std::min({blocks, kMostSplits, std::floor(units / items)}));
  const double waves = std::max(1.0, whole(items * splits / units));
  double stream = s.batch * keys * s.kv_heads * 2 * e * b / (a.decode_stream * c.memory * slow);
  stream += a.decode_ramp * stream / (stream + a.decode_ramp);
  const double item = a.work_item * std::sqrt(e / 128);
  const double pull = a.one_unit * c.memory / c.units;  // bytes per us of one unit
  const double item_keys = std::min(kTile * whole(blocks / splits), keys / splits);
  double chain = waves * (item + 2 * e * b * item_keys / (pull * slow)) - item;
  if (s.batch < kScheduledBatch) chain += a.per_sequence * s.batch;
  chain = std::max(0.0, chain);
  const double compute =
      2 * s.heads * s.q_len * s.batch * keys * 2 * e / (a.prefill_rate * c.peak(op.format));
  const double bulk = std::max(stream, compute);
  KernelTime t;
  t.floor = a.decode_floor + (windowed ? kWindowCost : 0);
  t.memory = stream;
  t.compute = std::max(compute, chain);
  t.total = t.floor + std::pow(std::pow(bulk, 5) + std::pow(chain, 5), 0.2);
  if (formula != nullptr) {
    formula->line("t = t0 + (stream^5 + chain^5)^(1/5)", {{"t us", t.total},
                                                          {"t0 us", t.floor},
                                                          {"stream us", stream},
                                                          {"chain us", chain},
                                                          {"items", items},
                                                          {"KV splits", splits},
                                                          {"waves", waves},
                                                          {"item us", item}});
  }
  return t;
}

/// per = (4 e/F + cx) 128 SM: time of one key for one tile; a = n/SM (cta + K per) throughput,
/// b = cta + Kmax per/ns the longest tile; t = t0 + (a^2.5 + b^2.5 + mem^2.5)^(1/2.5).
KernelTime gqa_prefill(const AttentionCore& s, const workloads::Operator& op,
                       const KernelConstants& c, double units, Formula* formula) {
  const AttentionConstants& a = c.attention;
  const double e = (s.qk_dim + s.v_dim) / 2;
  const double group = s.heads / s.kv_heads;
  const double positions = std::max(1.0, kTile / group);
  const double items = s.batch * s.kv_heads * whole(s.q_len * group / kTile);
  const double window = s.window > 0 ? s.window + positions + kTile : 1e18;
  const double padded = s.kv_len < kTile ? s.kv_len : kTile * whole(s.kv_len / kTile);
  const double past = std::max(0.0, s.kv_len - s.q_len);
  const double mean = s.causal ? past + (s.q_len + kTile + positions) / 2 : padded;
  const double keys = std::min({mean, window, padded});
  const double most = std::min(padded, window);
  const double slow = !fp8_cache(op) ? 1 : (e <= 128 ? a.prefill_fp8 : a.prefill_fp8_wide);
  const double rate = a.prefill_rate * c.peak(op.format);
  const double softmax = a.softmax / c.units;  // us per (query, key, head) of the whole chip
  const double per = (4 * e / rate + softmax) * kTile * c.units * slow;
  const double splits = items >= kEnough * units
                            ? 1
                            : std::max(1.0, std::min({kMostSplits, std::floor(units / items),
                                                      std::floor(whole(padded / kTile) / 3)}));
  const double item = a.prefill_item * std::pow(e / 128, 0.32);
  const double throughput = items / units * (item + keys * per);
  const double longest = item + most * per / splits;
  const double memory =
      s.batch * (s.q_len * s.heads + s.kv_len * s.kv_heads) * 4 * e / (0.885 * c.memory);
  KernelTime t;
  t.floor = a.prefill_floor;
  t.compute = std::max(throughput, longest);
  t.memory = memory;
  t.total =
      t.floor +
      std::pow(std::pow(throughput, 2.5) + std::pow(longest, 2.5) + std::pow(memory, 2.5), 0.4);
  if (formula != nullptr) {
    formula->line("t = t0 + (a^2.5 + b^2.5 + mem^2.5)^(1/2.5)", {{"t us", t.total},
                                                                 {"t0 us", t.floor},
                                                                 {"a throughput us", throughput},
                                                                 {"b longest tile us", longest},
                                                                 {"mem us", memory},
                                                                 {"tiles", items},
                                                                 {"keys per tile", keys},
                                                                 {"per key ns", 1e3 * per},
                                                                 {"KV splits", splits}});
  }
  return t;
}

/// n = B h ceil(S/M); K = mean keys of a tile; per = 640 M SM/R; t = t0 + sqrt(a^2 + b^2 + mem^2)
/// + ct B S h + cq B S (casts, rotary, latent append).
KernelTime mla_prefill(const AttentionCore& s, const workloads::Operator& op,
                       const KernelConstants& c, double units, RunConditions run,
                       Formula* formula) {
  const AttentionConstants& a = c.attention;
  const std::size_t i = fp8_cache(op) ? 1 : 0;
  const double rows = a.mla_rows;
  const double block = a.mla_keys;
  const double items = s.batch * s.heads * whole(s.q_len / rows);
  const double padded = s.kv_len < block ? s.kv_len : block * whole(s.kv_len / block);
  const double past = std::max(0.0, s.kv_len - s.q_len);
  const double keys = s.causal ? std::min(past + (s.q_len + block + rows) / 2, padded) : padded;
  // The rate is a share of the bf16 peak (fp8: of the fp8 peak): the cache's format decides.
  const double peak = c.peak(i == 1 ? NumberFormat{Format::fp8, 0} : op.format);
  const double widths = s.qk_dim + s.v_dim;
  const double per = 2 * widths * rows * c.units / (a.mla_rate[i] * peak);
  const double throughput = items / units * (a.mla_item[i] + keys * per);
  const double longest = a.mla_item[i] + padded * per;
  const double memory = 4 * widths * s.batch * s.q_len * s.heads / (0.93 * c.memory);
  // Cast, rotary and append run as kernels of their own; inside a model they are counted apart.
  const double extra =
      run.cold_weights ? 0
                       : s.batch * s.q_len * (a.mla_cast[i] * s.heads + a.mla_append[i]) / c.memory;
  KernelTime t;
  t.floor = a.mla_floor[i];
  t.compute = std::max(throughput, longest);
  t.memory = memory + extra;
  t.total =
      t.floor + std::sqrt(throughput * throughput + longest * longest + memory * memory) + extra;
  if (formula != nullptr) {
    formula->line("t = t0 + sqrt(a^2 + b^2 + mem^2) + cast and append",
                  {{"t us", t.total},
                   {"t0 us", t.floor},
                   {"a throughput us", throughput},
                   {"b longest tile us", longest},
                   {"mem us", memory},
                   {"cast us", extra},
                   {"tiles", items},
                   {"keys per tile", keys},
                   {"per key ns", 1e3 * per}});
  }
  return t;
}

/// Training kernels: rate(S) = R/(1 + c/S) on the FLOPs of the operator.
KernelTime training(const AttentionCore& s, const workloads::Operator& op, const KernelConstants& c,
                    double units, Formula* formula) {
  const AttentionConstants& a = c.attention;
  const bool backward = s.phase == AttentionPhase::backward;
  const double share = backward ? a.backward_rate : a.train_forward_rate;
  const double tokens = backward ? a.backward_tokens : a.train_forward_tokens;
  const double span = s.window > 0 ? std::min(s.window, s.kv_len) : s.kv_len;
  const double rate = share * c.peak(op.format) / (1 + tokens / span) * units / c.units;
  const workloads::Work work = workloads::work_of(op);
  KernelTime t;
  t.floor = a.prefill_floor;
  t.compute = work.flops / rate;
  t.memory = work.total_bytes() / (c.gemm_memory * c.memory);
  t.total = std::max(t.compute, t.memory);
  if (formula != nullptr) {
    formula->line("t = FLOPs / (R / (1 + c/S))", {{"t us", t.total},
                                                  {"R TFLOP/s", 1e-6 * share * c.peak(op.format)},
                                                  {"c tokens", tokens},
                                                  {"S", span}});
  }
  return t;
}

/// Grouped-query backward: 2.5 x the FLOPs of the forward at `backward_over_forward` of its rate.
KernelTime gqa_backward(const AttentionCore& s, const workloads::Operator& op,
                        const KernelConstants& c, double units, Formula* formula) {
  constexpr double kFlops = 2.5;
  KernelTime t = gqa_prefill(s, op, c, units, formula);
  const double factor = kFlops / c.attention.backward_ratio;
  t.compute *= factor;
  t.memory *= factor;
  t.total *= factor;
  if (formula != nullptr) {
    formula->line("backward = 2.5 / (rate ratio) x the forward",
                  {{"t us", t.total}, {"factor", factor}});
  }
  return t;
}

}  // namespace

KernelTime attention_time(const AttentionCore& s, const workloads::Operator& op,
                          const KernelConstants& c, RunConditions run, Formula* formula) {
  const double units = std::max(1.0, c.units - run.held_units);
  if (s.phase == AttentionPhase::decode) return gqa_decode(s, op, c, units, formula);
  const bool latent = s.mla || (s.qk_dim != s.v_dim && s.heads == s.kv_heads);
  if (s.phase == AttentionPhase::backward) {
    return latent ? training(s, op, c, units, formula) : gqa_backward(s, op, c, units, formula);
  }
  if (!latent) return gqa_prefill(s, op, c, units, formula);
  if (c.attention.train_kernels > 1.5) return gqa_prefill(s, op, c, units, formula);
  if (c.attention.train_kernels > 0.5) return training(s, op, c, units, formula);
  return mla_prefill(s, op, c, units, run, formula);
}

/// nt = ceil(h q/64) tiles; kv = B S (ck + r) b; q = ((kv rd/bw)^4 + (fl/F)^4)^(1/4)/act;
/// s = q + r q/(q + r); t = t0 + c B h + ((a B nt)^1.6 + s^1.6)^(1/1.6).
KernelTime mla_decode_time(const workloads::MlaDecode& s, const workloads::Operator& op,
                           const KernelConstants& c, RunConditions run, Formula* formula) {
  const AttentionConstants& a = c.attention;
  const std::size_t i = fp8_cache(op) ? 1 : 0;
  const double units = std::max(1.0, c.units - run.held_units);
  const double rows = s.heads * s.q_len;
  const double tiles = whole(rows / kDecodeRows);
  const double width = s.kv_lora_rank + s.rope_dim;
  const double caches = s.sparse ? s.batch * s.q_len : s.batch;
  const double kv = caches * (s.kv_len + s.ahead) * width * cache_bytes(op);
  const double flops =
      2 * s.batch * kDecodeRows * tiles * (2 * s.kv_lora_rank + s.rope_dim) * s.kv_len;
  const bool resident = !run.cold_weights && c.flushed < 0.5 && kv < 0.9 * c.cache;
  const double stream = a.absorbed_stream[i] * c.memory * (resident ? a.absorbed_cached[i] : 1);
  const double reread = rows > 16 && rows <= 32 ? a.absorbed_reread[i] : 1;
  // 17 to 32 rows run as two half-filled tiles: each reads the cache, partly from the L2.
  const double streams = reread > 1 ? 2 * tiles : tiles;
  double active = 1;
  if (a.absorbed_splits > 0) {
    const double splits =
        s.kv_len < 4 * a.absorbed_splits ? whole(s.kv_len / 4) : a.absorbed_splits;
    active = std::min(1.0, s.batch * streams * splits / units);
  }
  const double rate =
      a.absorbed_rate[i] * c.peak(i == 1 ? NumberFormat{Format::fp8, 0} : op.format);
  const double memory = kv * reread / stream;
  const double compute = flops / rate * c.units / units;
  const double q = std::pow(std::pow(memory, 4) + std::pow(compute, 4), 0.25) / active;
  const double bulk = q + a.absorbed_ramp[i] * q / (q + a.absorbed_ramp[i]);
  const double items = a.absorbed_item[i] * 1e-3 * s.batch * tiles;
  const double extra = a.absorbed_head[i] * s.batch * rows / c.memory;
  // Few items: the cache is split over units and a second pass joins the parts.
  const bool split = s.batch * tiles < units / 2 && s.batch * s.kv_len >= kJoinedKeys;
  KernelTime t;
  t.floor = a.absorbed_floor[i] + (split ? a.absorbed_join[i] : 0);
  t.memory = memory + extra;
  t.compute = std::max(compute, items);
  t.total = t.floor + extra + std::pow(std::pow(items, 1.6) + std::pow(bulk, 1.6), 1 / 1.6);
  constexpr double kBackward = 2.5 / 0.79;  // as for grouped-query attention
  if (s.backward) t.total = t.floor + (t.total - t.floor) * kBackward;
  if (formula != nullptr) {
    formula->line("t = t0 + c B h + (items^1.6 + s^1.6)^(1/1.6), s = q + r q/(q + r)",
                  {{"t us", t.total},
                   {"t0 us", t.floor},
                   {"c B h us", extra},
                   {"items us", items},
                   {"q us", q},
                   {"r us", a.absorbed_ramp[i]}});
    formula->line("q = ((kv/bw)^4 + (fl/F)^4)^(1/4) / active", {{"kv MB", kv * 1e-6},
                                                                {"bw TB/s", stream * 1e-6},
                                                                {"F TFLOP/s", rate * 1e-6},
                                                                {"memory us", memory},
                                                                {"compute us", compute},
                                                                {"active units", active}});
  }
  return t;
}

}  // namespace jevons::sim
