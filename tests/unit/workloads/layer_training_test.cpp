// Conservation laws of the training graphs: what a layer costs is what its parameters say.
#include "layer_fixture.hpp"

#include <set>

using namespace jevons;
using namespace jevons::workloads;
using namespace jevons::workloads::test;

TEST_CASE("forward matrix products of a whole model are 2 N_mm per token") {
  for (const char* id :
       {"deepseek-v3", "deepseek-v2", "deepseek-v2-lite", "llama-3.1-405b", "llama-3.1-8b",
        "qwen3-235b-a22b", "gpt-oss-120b", "mixtral-8x7b", "palm-540b", "gemma-3-27b", "glm-4.5",
        "kimi-k2", "minimax-text-01", "llama-4-maverick", "gpt-3-175b", "retnet-6.7b"}) {
    CAPTURE(id);
    const ModelConfig m = preset(id);
    const LayerContext c = training(4096);
    double total = matmul_flops(head_forward(m, c));
    for (const Layer& layer : m.layers) total += matmul_flops(layer_forward(m, layer, c));
    CHECK(total / c.tokens == exactly(2 * count(m).matmul_parameters));
  }
}

TEST_CASE("forward attention and matrix products are a third of the published training FLOPs") {
  for (const char* id : {"deepseek-v3", "llama-3.1-405b", "gpt-oss-120b", "qwen3-30b-a3b",
                         "llama-4-scout", "gemma-3-27b", "deepseek-v3.2-exp"}) {
    CAPTURE(id);
    const ModelConfig m = preset(id);
    const LayerContext c = training(4096);
    double total = matmul_flops(head_forward(m, c));
    for (const Layer& layer : m.layers) {
      const OperatorGraph g = layer_forward(m, layer, c);
      total += matmul_flops(g) + core_flops(g);
    }
    CHECK(3 * total / c.tokens == exactly(training_flops_per_token(m, 4096, false).causal));
  }
}

TEST_CASE("a backward pass has twice the matrix products, half of them weight gradients") {
  for (const char* id : {"deepseek-v3", "llama-3.1-8b", "jamba-v0.1", "retnet-6.7b"}) {
    CAPTURE(id);
    const ModelConfig m = preset(id);
    for (const Layer& layer : {m.layers.front(), m.layers.back()}) {
      const LayerContext c = training(4096, {}, "fp8-block");
      const double forward = matmul_flops(layer_forward(m, layer, c));
      const OperatorGraph back = layer_backward(m, layer, c);
      CHECK(matmul_flops(back) == exactly(2 * forward));
      CHECK(flops(back, [](const Operator& op) {
              return is_matmul(op) && op.phase == Phase::weight_gradient;
            }) == exactly(forward));
    }
  }
}

TEST_CASE("attention backward is 2.5 times the forward when widths are equal, 2.6 for V3") {
  const LayerContext c = training(4096);
  const ModelConfig llama = preset("llama-3.1-8b");
  CHECK(core_flops(layer_backward(llama, llama.layers[0], c)) ==
        exactly(2.5 * core_flops(layer_forward(llama, llama.layers[0], c))));
  const ModelConfig v3 = preset("deepseek-v3");  // (3 · 192 + 2 · 128) / (192 + 128)
  CHECK(core_flops(layer_backward(v3, v3.layers[0], c)) ==
        exactly(2.6 * core_flops(layer_forward(v3, v3.layers[0], c))));
}

TEST_CASE("unfused attention computes the whole square and moves its scores through memory") {
  const ModelConfig m = preset("gpt-3-175b");
  LayerContext c = training(2048);
  const OperatorGraph fused = layer_forward(m, m.layers[0], c);
  c.unfused_attention = true;
  const OperatorGraph unfused = layer_forward(m, m.layers[0], c);
  CHECK(core_flops(unfused) == exactly(2 * core_flops(fused)));
  CHECK(core_flops(layer_backward(m, m.layers[0], c)) == exactly(2 * core_flops(unfused)));
  double bytes = 0;
  for (const Operator& op : unfused.operators) {
    if (op.module == Module::attention_core) bytes += work_of(op).total_bytes();
  }
  // 96 heads of 128: scores written, read and written by the softmax, read again; q, k, v, o once.
  CHECK(bytes == exactly(96 * 2048.0 * 2048 * 2 * 4 + 96 * 2048.0 * 128 * 2 * 4));
}

TEST_CASE("tensor parallelism conserves FLOPs over its ranks") {
  const ModelConfig m = preset("llama-3.1-405b");
  for (const bool sp : {false, true}) {
    const Parallelism layout{.tp = 8, .etp = 8, .sp = sp};
    const OperatorGraph one = layer_forward(m, m.layers[0], training(8192));
    const OperatorGraph eight = layer_forward(m, m.layers[0], training(8192, layout));
    CHECK(8 * matmul_flops(eight) == exactly(matmul_flops(one)));
    CHECK(8 * core_flops(eight) == exactly(core_flops(one)));
  }
}

TEST_CASE("MLA under tensor parallelism repeats the down projections unless sequences are split") {
  const ModelConfig m = preset("deepseek-v3");
  const Layer& layer = m.layers[0];
  const double one = matmul_flops(layer_forward(m, layer, training(4096)));
  const auto over4 = [&](bool sp) {
    const Parallelism layout{.tp = 4, .etp = 4, .sp = sp};
    return 4 * matmul_flops(layer_forward(m, layer, training(4096, layout)));
  };
  CHECK(over4(true) == exactly(one));
  const double down = 2 * 4096.0 * 7168 * (1536 + 512 + 64);
  CHECK(over4(false) == exactly(one + 3 * down));
}

TEST_CASE("context parallelism conserves attention FLOPs of full, windowed and chunked layers") {
  for (const char* id : {"llama-3.1-8b", "gpt-oss-120b", "llama-4-scout", "deepseek-v3"}) {
    CAPTURE(id);
    const ModelConfig m = preset(id);
    for (const Layer& layer : {m.layers[0], m.layers[1], m.layers[3]}) {
      const OperatorGraph one = layer_forward(m, layer, training(32768));
      const OperatorGraph eight = layer_forward(m, layer, training(32768, {.cp = 8}));
      CHECK(8 * core_flops(eight) == exactly(core_flops(one)));
    }
  }
}

TEST_CASE("expert parallelism conserves expert FLOPs over its ranks") {
  const ModelConfig m = preset("deepseek-v3");
  const auto experts = [](const OperatorGraph& g) {
    return flops(g,
                 [](const Operator& op) { return op.module == Module::experts && is_matmul(op); });
  };
  const double one = experts(layer_forward(m, m.layers.back(), training(4096)));
  // Sixty-four ranks with 4096 tokens each: each does as much as one alone.
  CHECK(experts(layer_forward(m, m.layers.back(), training(4096, {.ep = 64, .dp = 64}))) ==
        exactly(one));
  // Tokens split over tp 4: a quarter each.
  const Parallelism folded{.tp = 4, .ep = 64, .dp = 16, .sp = true};
  CHECK(experts(layer_forward(m, m.layers.back(), training(4096, folded))) == exactly(one / 4));
  // Expert tensor parallelism: the same FLOPs in rows four times as many and a quarter as wide.
  const Parallelism sliced{.tp = 4, .ep = 16, .etp = 4, .dp = 16, .sp = true};
  CHECK(experts(layer_forward(m, m.layers.back(), training(4096, sliced))) == exactly(one / 4));
}

TEST_CASE("V3 moves 7,392 bytes a token copy to the experts and 14,336 back, and so backward") {
  const ModelConfig m = preset("deepseek-v3");
  const LayerContext c = training(4096, {.ep = 64, .dp = 64}, "fp8-block");
  const auto bytes = [](const Operator& op) {
    const MoeExchange x = std::get<MoeExchange>(op.shape);
    return x.hidden * x.bytes_per_element;
  };
  const OperatorGraph f = layer_forward(m, m.layers.back(), c);
  CHECK(bytes(*find(f, "dispatch")) == exactly(7392));
  CHECK(bytes(*find(f, "combine")) == exactly(14336));
  const OperatorGraph b = layer_backward(m, m.layers.back(), c);
  CHECK(bytes(*find(b, "combine", Phase::input_gradient)) == exactly(7392));
  CHECK(bytes(*find(b, "dispatch", Phase::input_gradient)) == exactly(14336));
}

TEST_CASE("sequence parallelism gathers and scatters what an all-reduce would, and gathers again") {
  const ModelConfig m = preset("llama-3.1-405b");
  const auto volume = [](const OperatorGraph& g, CollectiveKind kind) {
    double total = 0;
    for (const Operator& op : g.operators) {
      const auto* c = std::get_if<Collective>(&op.shape);
      if (c != nullptr && c->kind == kind) total += c->bytes;
    }
    return total;
  };
  const double row = 8192.0 * 16384 * 2;  // T d, bf16
  const LayerContext plain = training(8192, {.tp = 8, .etp = 8});
  const LayerContext split = training(8192, {.tp = 8, .etp = 8, .sp = true});
  const OperatorGraph f = layer_forward(m, m.layers[0], plain);
  const OperatorGraph b = layer_backward(m, m.layers[0], plain);
  CHECK(volume(f, CollectiveKind::all_reduce) == exactly(2 * row));
  CHECK(volume(b, CollectiveKind::all_reduce) == exactly(2 * row));
  const OperatorGraph fs = layer_forward(m, m.layers[0], split);
  const OperatorGraph bs = layer_backward(m, m.layers[0], split);
  CHECK(volume(fs, CollectiveKind::all_gather) == exactly(2 * row));
  CHECK(volume(fs, CollectiveKind::reduce_scatter) == exactly(2 * row));
  CHECK(volume(bs, CollectiveKind::all_gather) == exactly(4 * row));
  CHECK(volume(bs, CollectiveKind::reduce_scatter) == exactly(2 * row));
}

TEST_CASE("a parallel block reduces once a layer") {
  const ModelConfig m = preset("palm-540b");
  const OperatorGraph g = layer_forward(m, m.layers[0], training(2048, {.tp = 8, .etp = 8}));
  int reductions = 0;
  for (const Operator& op : g.operators) reductions += op.name == "tp_reduce" ? 1 : 0;
  CHECK(reductions == 1);
}

TEST_CASE("graphs of every preset, layout and precision are acyclic and every operator has work") {
  const std::vector<Parallelism> layouts{{},
                                         {.tp = 4, .etp = 4},
                                         {.tp = 4, .etp = 4, .sp = true},
                                         {.tp = 2, .cp = 2, .ep = 4, .dp = 2, .sp = true},
                                         {.tp = 2, .ep = 8, .dp = 8},
                                         {.tp = 2, .ep = 4, .etp = 2, .dp = 8, .sp = true}};
  for (const ModelPreset& p : model_presets()) {
    CAPTURE(p.id);
    const ModelConfig m = preset(p.id);
    for (const Parallelism& layout : layouts) {
      for (const char* precision : {"bf16", "fp8", "fp8-block", "mxfp8", "nvfp4"}) {
        const LayerContext c = training(8192, layout, precision);
        for (const LayerRun& run : layer_runs(m)) {
          const Layer& layer = m.layers[static_cast<std::size_t>(run.first)];
          for (const OperatorGraph& g : {layer_forward(m, layer, c), layer_backward(m, layer, c)}) {
            CHECK(topological_order(g).size() == g.operators.size());
            for (const Operator& op : g.operators) {
              const Work w = work_of(op);
              const bool good = w.total_bytes() > 0 && w.flops >= 0;
              if (!good) FAIL_CHECK(op.name << " has no work");
              if (op.name.size() > 15) FAIL_CHECK(op.name << " allocates");
            }
          }
        }
      }
    }
  }
}

TEST_CASE("low precision casts the input of every GEMM once forward and its gradient once back") {
  const ModelConfig m = preset("llama-3.1-8b");
  const auto casts = [](const OperatorGraph& g, std::string_view name) {
    int n = 0;
    for (const Operator& op : g.operators) n += op.name == name ? 1 : 0;
    return n;
  };
  for (const char* precision : {"fp8", "fp8-block", "mxfp8", "nvfp4"}) {
    CAPTURE(precision);
    const LayerContext c = training(8192, {}, precision);
    const OperatorGraph f = layer_forward(m, m.layers[0], c);
    const OperatorGraph b = layer_backward(m, m.layers[0], c);
    CHECK(casts(f, "cast") == 4);
    CHECK(casts(b, "cast_gradient") == 4);
    CHECK(casts(b, "requantise") == (std::string_view(precision) == "fp8-block" ? 4 : 0));
    CHECK(find(f, "qkv_proj")->format == precision_preset(precision, "").gemm);
  }
  CHECK(casts(layer_forward(m, m.layers[0], training(8192)), "cast") == 0);
}

TEST_CASE("nothing waits for a weight gradient") {
  const ModelConfig m = preset("deepseek-v3");
  const LayerContext c = training(4096, {.tp = 2, .ep = 8, .dp = 8, .sp = true}, "fp8-block");
  const OperatorGraph g = mtp_backward(m, c);
  for (const Edge& e : g.edges) {
    if (g.operators[e.from].phase == Phase::weight_gradient) {
      CHECK(g.operators[e.to].phase == Phase::weight_gradient);
    }
  }
}

TEST_CASE("an MTP module adds the published FLOPs: a layer, 2 d², and the head") {
  const ModelConfig m = preset("deepseek-v3");
  const LayerContext c = training(4096);
  const OperatorGraph g = mtp_forward(m, c);
  const TrainingFlops with = training_flops_per_token(m, 4096, true);
  const TrainingFlops without = training_flops_per_token(m, 4096, false);
  CHECK(3 * (matmul_flops(g) + core_flops(g)) / c.tokens == exactly(with.causal - without.causal));
}

TEST_CASE("AdamW in fp32 over bf16 weights moves 30 bytes a parameter, V3's bf16 moments 22") {
  const auto bytes = [](std::string_view precision) {
    return work_of(optimizer_update(1e6, precision_preset(precision, ""), 2)).total_bytes() / 1e6;
  };
  CHECK(bytes("bf16") == exactly(30));
  CHECK(bytes("fp8-block") == exactly(22));
}

TEST_CASE("recompute lists pick operators by module") {
  const ModelConfig m = preset("deepseek-v3");
  const OperatorGraph g = layer_forward(m, m.layers.back(), training(4096));
  std::set<std::string> picked;
  for (const Operator& op : g.operators) {
    if (recomputed(op.module, "norm") || recomputed(op.module, "mla_up_proj") ||
        recomputed(op.module, "moe_act")) {
      picked.insert(op.name);
    }
  }
  CHECK(picked == std::set<std::string>{"input_norm", "latent_norm", "ffn_norm", "q_b_proj",
                                        "kv_b_proj", "swiglu"});
}
