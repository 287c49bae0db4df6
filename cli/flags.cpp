#include "flags.hpp"

#include <array>

namespace jevons::cli {
namespace {

constexpr std::array kFlags{
    // What, on what.
    ScenarioFlag{"--model", "model", "Model preset, or path of a Hugging Face config.json", "tso",
                 Value::text},
    ScenarioFlag{"--hw,--accelerator", "cluster.accelerator",
                 "Accelerator preset, or path of a SKU file", "tso", Value::text},
    ScenarioFlag{"--count,--num-gpus", "cluster.count", "Accelerators in the whole job", "tso"},
    ScenarioFlag{"--precision", "precision", "Precision preset: bf16, fp8, fp8-block, nvfp4 ...",
                 "tso"},
    ScenarioFlag{"--kv-cache-dtype", "precision.kv_cache", "Format or bits of the KV cache", "s"},
    ScenarioFlag{"--stack", "stack", "Software stack profile (default: by accelerator and task)",
                 "tso", Value::text},
    ScenarioFlag{"--name", "name", "Name of the scenario", "tso", Value::text},
    // Layout.
    ScenarioFlag{"--tp,--tensor-parallel-size,--tensor-model-parallel-size", "parallelism.tp",
                 "Tensor-parallel ranks (default 1)", "ts"},
    ScenarioFlag{"--pp,--pipeline-parallel-size,--pipeline-model-parallel-size", "parallelism.pp",
                 "Pipeline stages (default 1)", "ts"},
    ScenarioFlag{"--vpp,--num-virtual-stages-per-pipeline-rank", "parallelism.vpp",
                 "Virtual stages per pipeline rank (default 1)", "t"},
    ScenarioFlag{"--cp,--context-parallel-size,--prefill-context-parallel-size", "parallelism.cp",
                 "Context-parallel ranks (default 1)", "ts"},
    ScenarioFlag{"--ep,--expert-parallel-size,--expert-model-parallel-size", "parallelism.ep",
                 "Expert-parallel ranks (default 1)", "ts"},
    ScenarioFlag{"--etp,--expert-tensor-parallel-size", "parallelism.etp",
                 "Tensor-parallel ranks of an expert (default 1 when ep > 1, else tp)", "ts"},
    ScenarioFlag{"--dp,--data-parallel-size", "parallelism.dp",
                 "Data-parallel replicas (default: derived from the count)", "ts"},
    ScenarioFlag{"--sp,--sequence-parallel", "parallelism.sp", "Sequence parallelism within tp",
                 "t", Value::on, "true"},
    ScenarioFlag{"--sharding", "parallelism.sharding",
                 "none, zero1, zero2, zero3 or fsdp (default zero1)", "t", Value::text},
    ScenarioFlag{"--use-distributed-optimizer", "parallelism.sharding", "Same as --sharding zero1",
                 "t", Value::on, "\"zero1\""},
    // Training.
    ScenarioFlag{"--sequence-length,--seq-length", "train.sequence_length",
                 "Tokens per sequence (default 4096)", "t"},
    ScenarioFlag{"--global-batch,--global-batch-size", "train.global_batch_sequences",
                 "Sequences per step (default: at least 4 Mi tokens)", "t"},
    ScenarioFlag{"--micro-batch,--micro-batch-size", "train.micro_batch_sequences",
                 "Sequences per micro-batch (default 1)", "t"},
    ScenarioFlag{"--schedule", "train.schedule", "gpipe, 1f1b, interleaved, zb-h1 or dualpipe", "t",
                 Value::text},
    ScenarioFlag{"--recompute,--recompute-granularity", "train.recompute",
                 "none, selective, full, or a JSON list of modules", "t"},
    ScenarioFlag{"--optimizer", "train.optimizer", "adamw, muon or sgd (default adamw)", "t",
                 Value::text},
    ScenarioFlag{"--tokens", "train.tokens", "Tokens of the whole run: 14.8T", "t"},
    // Serving.
    ScenarioFlag{"--input-tokens,--isl", "serve.input_tokens", "Tokens of a prompt (default 1024)",
                 "s"},
    ScenarioFlag{"--output-tokens,--osl", "serve.output_tokens",
                 "Tokens of an answer (default 1024)", "s"},
    ScenarioFlag{"--concurrency,--max-concurrency",
                 "serve.traffic.concurrency",
                 "Users in flight, each always waiting for an answer (default 64)",
                 "s",
                 Value::json,
                 {},
                 "serve.traffic.kind=closed"},
    ScenarioFlag{"--request-rate",
                 "serve.traffic.requests_per_s",
                 "Poisson arrivals per second",
                 "s",
                 Value::json,
                 {},
                 "serve.traffic.kind=poisson"},
    ScenarioFlag{"--batch",
                 "serve.traffic.batch",
                 "One fixed batch, prefilled once and decoded",
                 "s",
                 Value::json,
                 {},
                 "serve.traffic.kind=static"},
    ScenarioFlag{"--requests,--num-prompts", "serve.traffic.requests", "Requests in all", "s"},
    ScenarioFlag{"--max-batch-sequences,--max-num-seqs", "serve.max_batch_sequences",
                 "Sequences per engine step (default 256)", "s"},
    ScenarioFlag{"--max-batch-tokens,--max-num-batched-tokens", "serve.max_batch_tokens",
                 "Tokens per engine step (default 8192)", "s"},
    ScenarioFlag{"--instances", "serve.instances",
                 "Replicas of the engine (default: from the count)", "s"},
    ScenarioFlag{"--attention-dp", "serve.attention_dp", "Data-parallel attention", "s", Value::on,
                 "true"},
    ScenarioFlag{"--prefix-hit-rate", "serve.prefix_hit_rate",
                 "Share of prompt tokens in the cache", "s"},
    ScenarioFlag{"--redundant-experts", "serve.redundant_experts", "Extra copies of experts", "s"},
    // One operator.
    ScenarioFlag{"--op", "op.kind", "gemm, attention, mla_decode, all_reduce, moe_dispatch ...",
                 "o", Value::text},
    ScenarioFlag{"--m", "op.m", "Rows of a product", "o"},
    ScenarioFlag{"--n", "op.n", "Columns of a product", "o"},
    ScenarioFlag{"--k", "op.k", "Inner extent of a product", "o"},
    ScenarioFlag{"--bytes", "op.bytes", "Bytes of a copy or collective: 1GiB", "o"},
    ScenarioFlag{"--ranks", "op.ranks", "Ranks of a collective", "o"},
    // Money and power.
    ScenarioFlag{"--price", "price.usd_per_accelerator_hour",
                 "Rent, USD per accelerator-hour (default: newest known, with its date)", "ts"},
    ScenarioFlag{"--pue", "power.pue", "Power usage effectiveness", "ts"},
    ScenarioFlag{"--power-cap", "cluster.power_cap_w", "Power limit of one accelerator: 500W",
                 "tso"},
};

}  // namespace

std::span<const ScenarioFlag> scenario_flags() {
  return kFlags;
}

std::string main_name(const ScenarioFlag& flag) {
  return std::string(flag.names.substr(0, flag.names.find(',')));
}

}  // namespace jevons::cli
