#include "jevons/reference/attention.hpp"

#include "random.hpp"

#include "jevons/reference/gemm.hpp"
#include "jevons/workloads/model.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace jevons::reference;
namespace wl = jevons::workloads;

namespace {

MlaShape small_mla(long q_rank = 12) {
  MlaShape s;
  s.hidden = 24;
  s.heads = 3;
  s.q_rank = q_rank;
  s.kv_rank = 10;
  s.nope = 6;
  s.rope = 4;
  s.v_dim = 5;
  return s;
}

MlaWeights<double> weights(const MlaShape& s, unsigned seed) {
  MlaWeights<double> w;
  if (s.q_rank > 0) {
    w.q_a = random_matrix(s.hidden, s.q_rank, seed, 0.3);
    w.q_norm.assign(static_cast<std::size_t>(s.q_rank), 1.1);
  }
  w.q_b = random_matrix(s.q_rank > 0 ? s.q_rank : s.hidden, s.heads * s.qk_dim(), seed + 1, 0.3);
  w.kv_a = random_matrix(s.hidden, s.kv_rank + s.rope, seed + 2, 0.3);
  w.kv_norm.assign(static_cast<std::size_t>(s.kv_rank), 0.9);
  w.kv_b = random_matrix(s.kv_rank, s.heads * (s.nope + s.v_dim), seed + 3, 0.3);
  w.o = random_matrix(s.heads * s.v_dim, s.hidden, seed + 4, 0.3);
  return w;
}

/// Keys a causal query sees, summed over queries, with and without a window: brute force.
double pairs(long queries, long keys, long window) {
  double n = 0;
  for (long i = 0; i < queries; ++i) {
    const long position = keys - queries + i;
    for (long j = 0; j <= position; ++j) n += window == 0 || position - j < window ? 1 : 0;
  }
  return n;
}

}  // namespace

TEST_CASE("attention: one key gives its value, equal keys give the mean of values") {
  const auto q = random_matrix(1, 8, 1), v = random_matrix(4, 8, 3);
  const Matrix<double> k(4, 8, 0.5);
  const auto out = attention(q, k, v, {1, 1, 8, 8});
  for (long e = 0; e < 8; ++e) {
    CHECK(out(0, e) == doctest::Approx((v(0, e) + v(1, e) + v(2, e) + v(3, e)) / 4));
  }
  CHECK(largest_difference(attention(q, slice_rows(k, 0, 1), slice_rows(v, 0, 1), {1, 1, 8, 8}),
                           slice_rows(v, 0, 1)) < 1e-15);
}

TEST_CASE("attention: grouped heads equal plain heads with keys and values repeated") {
  const auto q = random_matrix(5, 4 * 6, 1), k = random_matrix(7, 2 * 6, 2),
             v = random_matrix(7, 2 * 3, 3);
  Matrix<double> k4(7, 4 * 6), v4(7, 4 * 3);
  for (long j = 0; j < 7; ++j) {
    for (long h = 0; h < 4; ++h) {
      for (long e = 0; e < 6; ++e) k4(j, h * 6 + e) = k(j, h / 2 * 6 + e);
      for (long e = 0; e < 3; ++e) v4(j, h * 3 + e) = v(j, h / 2 * 3 + e);
    }
  }
  CHECK(largest_difference(attention(q, k, v, {4, 2, 6, 3}), attention(q, k4, v4, {4, 4, 6, 3})) <
        1e-15);
}

TEST_CASE("attention: decoding token by token equals attending to the prompt at once") {
  const auto q = random_matrix(9, 12, 1), k = random_matrix(9, 12, 2), v = random_matrix(9, 12, 3);
  for (const long window : {0L, 1L, 4L, 20L}) {
    const HeadShape shape{2, 2, 6, 6, window};
    const auto whole = attention(q, k, v, shape);
    for (long t = 0; t < 9; ++t) {
      const auto one =
          attention(slice_rows(q, t, 1), slice_rows(k, 0, t + 1), slice_rows(v, 0, t + 1), shape);
      CHECK(largest_difference(one, slice_rows(whole, t, 1)) < 1e-14);
    }
  }
}

TEST_CASE(
    "attention: counts equal a brute-force count of pairs and the exact claim, FLOPs and bytes") {
  for (const long queries : {1L, 5L, 12L}) {
    for (const long keys : {12L, 17L}) {
      for (const long window : {0L, 1L, 3L, 50L}) {
        const HeadShape shape{4, 2, 6, 3, window};
        Meter meter;
        (void)attention(random_matrix(queries, 24, 1), random_matrix(keys, 12, 2),
                        random_matrix(keys, 6, 3), shape, &meter);
        CHECK(meter.multiply_adds == pairs(queries, keys, window) * 4 * (6 + 3));
        wl::Operator op;
        wl::AttentionCore core;
        core.heads = 4;
        core.kv_heads = 2;
        core.q_len = static_cast<double>(queries);
        core.kv_len = static_cast<double>(keys);
        core.qk_dim = 6;
        core.v_dim = 3;
        core.window = static_cast<double>(window);
        op.shape = core;
        const wl::Work exact = work_of(op, wl::Counting::exact);
        CHECK(meter.flops() == exact.flops);
        CHECK(meter.bytes == exact.bytes);
        const wl::Work claim = work_of(op);
        // Published FLOP counts take s/2 keys for a causal query, the kernel meets (s + 1)/2: half
        // a key a query, for those whose window is not full.
        const long first = keys - queries;
        const long open = window > 0 && window < keys ? std::max(0L, window - first) : queries;
        const double half_keys = static_cast<double>(open) * 4 * (6 + 3);
        CHECK(exact.flops == doctest::Approx(claim.flops + half_keys).epsilon(1e-14));
        CHECK(meter.bytes == claim.bytes);
      }
    }
  }
}

TEST_CASE("attention: products of whole heads equal the counted loops") {
  for (const long window : {0L, 9L}) {
    for (const long queries : {40L, 64L}) {
      const HeadShape shape{4, 2, 6, 5, window};
      const auto q = random_matrix(queries, 24, 1), k = random_matrix(64, 12, 2),
                 v = random_matrix(64, 10, 3);
      Meter meter;
      CHECK(largest_difference(attention(q, k, v, shape), attention(q, k, v, shape, &meter)) <
            1e-13);
    }
  }
}

TEST_CASE("attention: a decode step does and reads exactly what the operator claims") {
  for (const long keys : {1L, 7L, 40L}) {
    for (const long window : {0L, 5L}) {
      Meter meter;
      AttentionStorage storage;
      storage.cache = {TensorClass::kv_cache, 1};
      storage.statistics_bytes = 0;
      (void)attention(random_matrix(1, 32, 1), random_matrix(keys, 16, 2),
                      random_matrix(keys, 16, 3), {4, 2, 8, 8, window}, &meter, storage);
      wl::Operator op;
      wl::AttentionCore core;
      core.phase = wl::AttentionPhase::decode;
      core.heads = 4;
      core.kv_heads = 2;
      core.kv_len = static_cast<double>(keys);
      core.qk_dim = core.v_dim = 8;
      core.window = static_cast<double>(window);
      op.shape = core;
      op.activation_format = {jevons::Format::fp8, 0.0};
      const wl::Work claim = work_of(op);
      CHECK(meter.flops() == claim.flops);
      CHECK(meter.bytes == claim.bytes);
    }
  }
}

TEST_CASE("attention: gradients equal finite differences, and take five products for the two") {
  const HeadShape shape{4, 2, 3, 5, 3};
  const auto q = random_matrix(4, 12, 1), k = random_matrix(6, 6, 2), v = random_matrix(6, 10, 3);
  const auto seed = random_matrix(4, 20, 4);
  const auto loss = [&](const Matrix<double>& a, const Matrix<double>& b, const Matrix<double>& c) {
    const auto out = attention(a, b, c, shape);
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out.data()[i] * seed.data()[i];
    return sum;
  };
  Meter forward, backward;
  (void)attention(q, k, v, shape, &forward);
  const auto g = attention_backward(q, k, v, seed, shape, &backward);
  CHECK(backward.multiply_adds * (3 + 5) == forward.multiply_adds * (3 * 3 + 2 * 5));
  const double h = 1e-6;
  const auto numeric = [&](int which, std::size_t i) {
    auto a = q, b = k, c = v;
    auto& m = which == 0 ? a : which == 1 ? b : c;
    m.data()[i] += h;
    const double up = loss(a, b, c);
    m.data()[i] -= 2 * h;
    return (up - loss(a, b, c)) / (2 * h);
  };
  for (std::size_t i = 0; i < q.size(); ++i) {
    CHECK(std::abs(g.q.data()[i] - numeric(0, i)) < 1e-8);
  }
  for (std::size_t i = 0; i < k.size(); ++i) {
    CHECK(std::abs(g.k.data()[i] - numeric(1, i)) < 1e-8);
  }
  for (std::size_t i = 0; i < v.size(); ++i) {
    CHECK(std::abs(g.v.data()[i] - numeric(2, i)) < 1e-8);
  }
}

TEST_CASE("MLA: absorbed equals expanded to rounding, in prefill and while the cache grows") {
  for (const long q_rank : {12L, 0L}) {
    MlaShape s = small_mla(q_rank);
    s.rotary.factor = 40;
    s.rotary.mscale_all_dim = 1;
    const auto w = weights(s, 40);
    const auto x = random_matrix(8, s.hidden, 50);
    const auto cache = mla_latent(x, w, s, 0);
    const auto q = mla_query(x, w, s, 0);
    const auto expanded = mla_expanded(q, cache, w, s);
    CHECK(largest_difference(expanded, mla_absorbed(q, cache, w, s)) < 1e-13);
    Matrix<double> growing;
    for (long t = 0; t < 8; ++t) {
      const auto token = slice_rows(x, t, 1);
      growing.append(mla_latent(token, w, s, t));
      const auto out = mla_absorbed(mla_query(token, w, s, t), growing, w, s);
      CHECK(largest_difference(out, slice_rows(expanded, t, 1)) < 1e-13);
    }
    CHECK(growing.cols() == s.kv_rank + s.rope);  // the whole cache: 576 of V3
  }
}

TEST_CASE("MLA: the core by products over all heads equals the counted loops") {
  const MlaShape s = small_mla();
  for (const long queries : {1L, 7L}) {
    const auto q = random_matrix(queries, s.heads * (s.kv_rank + s.rope), 2);
    const auto cache = random_matrix(400, s.kv_rank + s.rope, 3);
    Meter meter;
    CHECK(largest_difference(mla_core(q, cache, s), mla_core(q, cache, s, &meter)) < 1e-13);
  }
}

TEST_CASE("MLA: the absorbed core does and reads exactly what the operator claims") {
  const MlaShape s = small_mla();
  const auto w = weights(s, 1);
  for (const long keys : {1L, 6L, 33L}) {
    Meter meter;
    (void)mla_core(random_matrix(1, s.heads * (s.kv_rank + s.rope), 2),
                   random_matrix(keys, s.kv_rank + s.rope, 3), s, &meter);
    wl::Operator op;
    wl::MlaDecode core;
    core.batch = 1;
    core.heads = static_cast<double>(s.heads);
    core.kv_len = static_cast<double>(keys);
    core.kv_lora_rank = static_cast<double>(s.kv_rank);
    core.rope_dim = static_cast<double>(s.rope);
    op.shape = core;
    const wl::Work claim = work_of(op);
    CHECK(meter.flops() == claim.flops);
    CHECK(meter.bytes == claim.bytes);
  }
}

TEST_CASE("MLA: projections meet the parameters of the model once per token") {
  const MlaShape s = small_mla();
  const auto w = weights(s, 1);
  wl::ModelConfig model;
  model.hidden = s.hidden;
  wl::Attention a;
  a.kind = wl::AttentionKind::mla;
  a.heads = a.kv_heads = s.heads;
  a.q_lora_rank = s.q_rank;
  a.kv_lora_rank = s.kv_rank;
  a.nope_dim = s.nope;
  a.rope_dim = s.rope;
  a.qk_dim = s.qk_dim();
  a.v_dim = s.v_dim;
  const auto x = random_matrix(5, s.hidden, 9);
  const double parameters = attention_parameters(model, a);
  for (const bool absorbed : {false, true}) {
    Meter meter;
    const auto cache = mla_latent(x, w, s, 0, &meter);
    const auto q = mla_query(x, w, s, 0, &meter);
    (void)(absorbed ? mla_absorbed(q, cache, w, s, &meter) : mla_expanded(q, cache, w, s, &meter));
    const double per_pair =
        static_cast<double>(s.heads * (absorbed ? 2 * s.kv_rank + s.rope : s.qk_dim() + s.v_dim));
    CHECK(meter.multiply_adds == 5 * parameters + 15 * per_pair);  // 1 + 2 + 3 + 4 + 5 pairs
  }
}

TEST_CASE("indexer: sparse attention over all keys is dense attention; over k it reads only k") {
  const MlaShape s = small_mla();
  const auto w = weights(s, 3);
  const auto x = random_matrix(10, s.hidden, 4);
  const auto cache = mla_latent(x, w, s, 0);
  const auto q = mla_query(x, w, s, 0);
  const IndexerShape shape{2, 6, 4};
  Meter meter;
  const auto scores = indexer_scores(random_matrix(10, 12, 5), random_matrix(10, 6, 6),
                                     random_matrix(10, 2, 7), shape, &meter);
  CHECK(meter.flops() == 2.0 * 2 * 6 * 55);  // 2 HI DI S, 55 causal pairs
  const auto all = choose_keys(scores, 10);
  CHECK(largest_difference(mla_absorbed(q, cache, w, s, nullptr, all),
                           mla_absorbed(q, cache, w, s)) < 1e-15);
  const auto some = choose_keys(scores, shape.top_k);
  for (long i = 0; i < 10; ++i) {
    const auto& keys = some[static_cast<std::size_t>(i)];
    CHECK(static_cast<long>(keys.size()) == std::min(i + 1, 4L));
    for (long j = 0; j <= i; ++j) {
      const bool in = std::find(keys.begin(), keys.end(), j) != keys.end();
      long better = 0;
      for (long other = 0; other <= i; ++other) {
        const bool tie = scores(i, other) == scores(i, j) && other < j;  // zeros after the ReLU
        better += tie || scores(i, other) > scores(i, j) ? 1 : 0;
      }
      CHECK(in == (better < 4));
    }
  }
}

TEST_CASE("rope: scores depend on distance alone and YaRN keeps fast dimensions") {
  const Rope plain;
  const auto q = random_matrix(1, 8, 1), k = random_matrix(1, 8, 2);
  const auto score = [&](long i, long j) {
    auto a = q, b = k;
    apply_rope(a, 0, 8, i, plain);
    apply_rope(b, 0, 8, j, plain);
    double dot = 0;
    for (long e = 0; e < 8; ++e) dot += a(0, e) * b(0, e);
    return dot;
  };
  CHECK(score(5, 2) == doctest::Approx(score(105, 102)).epsilon(1e-12));
  CHECK(std::abs(score(5, 2) - score(6, 2)) > 1e-6);
  // DeepSeek-V3: factor 40 over 4096, 64 rotary dimensions. A pair that turns more than 32 times
  // in 4096 tokens keeps its frequency, one that turns less than once is slowed 40 times.
  Rope yarn{10000, 40, 4096, 32, 1, 1, 1};
  const auto base = rope_frequencies(plain, 64), slow = rope_frequencies(yarn, 64);
  for (std::size_t i = 0; i < base.size(); ++i) {
    const double turns = 4096 * base[i] / 6.283185307179586;
    if (turns > 40) CHECK(slow[i] == base[i]);
    if (turns < 0.75) CHECK(slow[i] == doctest::Approx(base[i] / 40));
    CHECK(slow[i] <= base[i]);
    CHECK(slow[i] >= base[i] / 40 * 0.999999);
  }
  CHECK(yarn_softmax_scale(yarn) == doctest::Approx(std::pow(0.1 * std::log(40.0) + 1, 2)));
}

TEST_CASE("norm and SwiGLU: closed forms") {
  const Matrix<double> x(1, 4, 3.0);
  const auto y = rms_norm(x, std::vector<double>{1, 2, 3, 4}, 0.0);
  for (long c = 0; c < 4; ++c) CHECK(y(0, c) == doctest::Approx(static_cast<double>(c + 1)));
  Matrix<double> gate_up(1, 4);
  gate_up(0, 0) = 0;
  gate_up(0, 1) = 50;
  gate_up(0, 2) = 7;
  gate_up(0, 3) = 2;
  const auto z = swiglu(gate_up);
  CHECK(z(0, 0) == 0.0);
  CHECK(z(0, 1) == doctest::Approx(100.0));
}
