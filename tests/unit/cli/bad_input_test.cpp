// Every kind of bad input: exit code, place, what was read, and what is allowed.
#include "run.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using Json = nlohmann::ordered_json;

namespace {

Json small_training() {
  return Json::parse(R"({
    "task": "train", "model": "llama-3.1-8b",
    "cluster": {"accelerator": "h100-sxm", "count": 64},
    "precision": "bf16", "parallelism": {"tp": 4, "sp": true, "sharding": "zero1"},
    "stack": "nemo-24.07",
    "train": {"sequence_length": 4096, "global_batch_sequences": 128,
              "micro_batch_sequences": 1, "recompute": "none"}
  })");
}

/// Runs a scenario with one value replaced (JSON pointer, JSON text).
Ran with(const std::string& pointer, const std::string& value) {
  Json scenario = small_training();
  scenario[Json::json_pointer(pointer)] = Json::parse(value);
  const Folder folder;
  return jevons_run({"train", folder.put("s.json", scenario.dump())});
}

void refused(const Ran& ran, const std::vector<std::string>& parts) {
  CAPTURE(ran.err);
  CHECK(ran.code == 3);
  CHECK(ran.out.empty());
  for (const std::string& part : parts) {
    CHECK_MESSAGE(contains(ran.err, part), "missing in the message: " << part);
  }
}

}  // namespace

TEST_CASE("bad input: the scenario the cases start from runs") {
  const Folder folder;
  const Ran ran = jevons_run({"train", folder.put("s.json", small_training().dump())});
  CAPTURE(ran.err);
  CHECK(ran.code == 0);
}

TEST_CASE("bad input: malformed JSON names line and column") {
  const Folder folder;
  refused(jevons_run({"train", folder.put("s.json", "{\n  \"task\": \"train\",\n  oops\n}")}),
          {"s.json", "not valid JSON", "line 3, column 3"});
  refused(jevons_run({"train", folder.put("s.json", "")}), {"s.json", "not valid JSON"});
  refused(jevons_run({"train", folder.put("s.json", "{\"task\":\"train\",\"task\":\"op\"}")}),
          {"'task' appears twice"});
  refused(jevons_run({"train", folder.put("s.json", std::string(5000, '['))}), {"s.json"});
  refused(jevons_run({"train", "-"}, "[1, 2]"), {"standard input", "must be an object"});
}

TEST_CASE("bad input: an unknown key is answered with the nearest") {
  refused(with("/train/global_batch", "128"),
          {"/train/global_batch", "unknown key", "did you mean 'global_batch_sequences'"});
  refused(with("/paralelism", "{}"), {"/paralelism", "unknown key", "'parallelism'"});
  refused(with("/cluster/nodes", "8"), {"/cluster/nodes", "unknown key"});
  CHECK(with("/x_note", "{\"anything\": [1]}").code == 0);
  CHECK(with("/train/x_note", "true").code == 0);
}

TEST_CASE("bad input: a wrong unit says which units are understood") {
  refused(with("/cluster/scale_out_bytes_per_s", "\"50GB\""),
          {"/cluster/scale_out_bytes_per_s", "'50GB'", "3.35TB/s"});
  refused(with("/cluster/memory_bytes", "\"80 parsecs\""),
          {"/cluster/memory_bytes", "'80 parsecs'", "80GiB"});
  refused(with("/cluster/power_cap_w", "\"0.7kWh\""), {"/cluster/power_cap_w", "700W"});
  refused(with("/train/tokens", "\"many\""), {"/train/tokens", "'many'", "14.8T"});
}

TEST_CASE("bad input: bits and bytes are kept apart") {
  const Folder folder;
  Json scenario = small_training();
  const auto rate = [&](const char* text) {
    scenario["cluster"]["scale_out_bytes_per_s"] = text;
    const Ran ran = jevons_run({"train", folder.put("s.json", scenario.dump()), "--json", "-"});
    REQUIRE(ran.code == 0);
    return Json::parse(ran.out)["inputs"]["cluster"]["scale_out_bytes_per_s"].get<double>();
  };
  CHECK(rate("400Gb/s") == 50e9);
  CHECK(rate("50GB/s") == 50e9);
}

TEST_CASE("bad input: negative, fractional and absurd values are refused, never clamped") {
  refused(with("/cluster/count", "-8"), {"/cluster/count", "read -8", "at least 1"});
  refused(with("/cluster/count", "2.5"), {"/cluster/count", "whole number", "2.5"});
  refused(with("/cluster/count", "1e30"), {"/cluster/count", "1e+30", "at most"});
  refused(with("/cluster/count", "\"lots\""), {"/cluster/count", "'lots'"});
  refused(with("/train/sequence_length", "0"), {"/train/sequence_length", "read 0"});
  refused(with("/train/expert_load_max_over_mean", "0.5"),
          {"expert_load_max_over_mean", "at least 1"});
  refused(with("/train/tokens", "-1"), {"/train/tokens", "read -1"});
  refused(with("/power", "{\"pue\": 0.5}"), {"/power/pue", "at least 1"});
  refused(with("/price", "{\"usd_per_accelerator_hour\": -2}"),
          {"/price/usd_per_accelerator_hour"});
  refused(with("/train/mtp", "\"yes\""), {"/train/mtp", "true or false", "\"yes\""});
}

TEST_CASE("bad input: a wrong name is answered with the nearest right ones") {
  refused(with("/model", "\"lama-3.1-8b\""), {"/model", "lama-3.1-8b", "llama-3.1-8b"});
  refused(with("/cluster/accelerator", "\"h100-smx\""),
          {"/cluster/accelerator", "h100-smx", "h100-sxm"});
  refused(with("/stack", "\"nemo-24.7\""), {"/stack", "nemo-24.7", "nemo-24.07"});
  refused(with("/precision", "\"fp7\""), {"/precision", "fp7", "fp8"});
  refused(with("/precision", "{\"gemm\": \"float8\"}"), {"/precision/gemm", "float8", "fp8"});
  refused(with("/train/schedule", "\"dualpip\""), {"/train/schedule", "dualpip", "dualpipe"});
  refused(with("/train/recompute", "[\"attn\"]"), {"/train/recompute", "attn", "attention_core"});
  refused(with("/train/recompute_layers", "4"), {"/train/recompute_layers", "none", "full"});
  refused(with("/task", "\"training\""), {"/task", "training"});
  refused(with("/schema", "\"jevons.scenario/2\""), {"/schema", "jevons.scenario/1"});
}

TEST_CASE("bad input: a layout that real stacks refuse names the numbers") {
  refused(with("/parallelism", "{\"tp\": 5}"), {"/parallelism", "5", "64"});
  refused(with("/cluster/count", "60"), {"/train/global_batch_sequences", "15", "128"});
  // 32 heads: 64 ranks are too many.
  refused(with("/parallelism", "{\"tp\": 64}"), {"/parallelism/tp", "tp 64", "32 attention heads"});
  refused(with("/parallelism", "{\"tp\": 4, \"dp\": 8}"),
          {"/parallelism", "tp 4 x pp 1 x cp 1 x dp 8 = 32, not 64"});
  refused(with("/parallelism", "{\"tp\": 4, \"pp\": 3}"), {"does not divide 64"});
  refused(with("/parallelism", "{\"ep\": 4}"), {"/parallelism/ep", "no experts"});
  refused(with("/parallelism", "{\"pp\": 8, \"vpp\": 8}"), {"/parallelism/vpp", "32 layers"});
  refused(with("/parallelism", "{\"sharding\": \"zero4\"}"), {"/parallelism/sharding", "zero3"});
  refused(with("/parallelism", "{\"sharding_group\": 5}"), {"sharding_group", "5", "64"});
  refused(with("/train/global_batch_sequences", "100"),
          {"/train/global_batch_sequences", "16", "100", "multiples of 16"});
  refused(with("/train/schedule", "\"interleaved\""), {"/train/schedule", "vpp 1"});
  refused(with("/train/mtp", "true"), {"/train/mtp", "no MTP module"});
}

TEST_CASE("bad input: experts and context ranks must divide as well") {
  Json scenario = small_training();
  scenario["model"] = "mixtral-8x7b";
  scenario["parallelism"] = Json::parse(R"({"ep": 3})");
  scenario["cluster"]["count"] = 48;
  scenario["train"]["global_batch_sequences"] = 48;
  const Folder folder;
  refused(jevons_run({"train", folder.put("s.json", scenario.dump())}),
          {"/parallelism/ep", "ep 3", "8 experts"});
  scenario["parallelism"] = Json::parse(R"({"cp": 3})");
  refused(jevons_run({"train", folder.put("s.json", scenario.dump())}), {"cp 3", "4096"});
}

TEST_CASE("bad input: what does not fit exits 4 and names the smallest change") {
  Json scenario = small_training();
  scenario["model"] = "llama-3.1-405b";
  scenario["cluster"]["count"] = 8;
  scenario["parallelism"] = Json::parse(R"({"tp": 8})");
  const Folder folder;
  const Ran ran = jevons_run({"train", folder.put("s.json", scenario.dump())});
  CAPTURE(ran.err);
  CHECK(ran.code == 4);
  CHECK(contains(ran.err, "infeasible"));
  CHECK(contains(ran.err, "GB"));
}

TEST_CASE("bad input: a section of another task and a verb of another task are refused") {
  refused(with("/serve", "{}"), {"/serve", "'train'"});
  const Folder folder;
  refused(jevons_run({"serve", folder.put("s.json", small_training().dump())}),
          {"/task", "'train'", "'serve'"});
}

TEST_CASE("bad input: files that are not there, are folders or are something else") {
  refused(jevons_run({"train", "no/such/file.json"}), {"no/such/file.json", "cannot open"});
  refused(jevons_run({"train", "./"}), {"./"});
  refused(jevons_run({"validate", "tests/scenarios/deepseek-v3-train.json"}),
          {"deepseek-v3-train"});
  const Folder folder;
  refused(jevons_run({"report", folder.put("r.json", "{\"schema\": \"jevons.result/9\"}")}),
          {"/schema", "jevons.result/9"});
  refused(jevons_run({"report", folder.put("r.json", "{\"schema\": \"jevons.result/1\"}")}),
          {"missing key 'inputs'"});
}

TEST_CASE("bad input: an inline model or SKU is read as strictly") {
  refused(with("/model", "{\"model_type\": \"lama\"}"), {"lama", "llama"});
  refused(with("/model", "{\"model_type\": \"llama\"}"), {"/model", "missing"});
  refused(with("/model", "7"), {"/model"});
  refused(with("/model_overrides", "[]"), {"/model_overrides"});
  // A figure that the run needs is asked for by name; there is no default SKU behind it.
  refused(with("/cluster/accelerator", "{\"id\": \"mine\"}"), {"mine", "has no figure", "_bytes"});
  refused(with("/cluster/accelerator", "{\"based_on\": \"h100-sxm\", \"figurs\": {}}"),
          {"/cluster/accelerator", "figurs"});
}

TEST_CASE("bad input: wrong verbs and flags are usage errors with suggestions") {
  const auto usage = [](const std::vector<std::string>& arguments, const std::string& part) {
    const Ran ran = jevons_run(arguments);
    CAPTURE(ran.err);
    CHECK(ran.code == 2);
    CHECK(ran.out.empty());
    CHECK(contains(ran.err, part));
  };
  usage({}, "train");
  usage({"trian"}, "did you mean 'train'");
  usage({"train", "--tensor-paralel-size", "4"}, "did you mean '--tensor-parallel-size'");
  usage({"train", "deepseek-v3", "--count"}, "--count");
  usage({"train", "deepseek-v3", "llama-3.1-8b"}, "llama-3.1-8b");
  usage({"train", "deepseek-v3"}, "--hw");
  usage({"train", "deepseek-v3", "--set", "count"}, "PATH=VALUE");
  usage({"list", "gpus"}, "models");
  usage({"show", "hardware"}, "KIND ID");
  usage({"schema", "scenari"}, "scenario");
  usage({"completion", "tcsh"}, "bash");
  usage({"train", "x", "--json", "-", "--csv", "-"}, "only one");
  usage({"train", "tests/scenarios/deepseek-v3-train.json", "--fail-if", "cost"}, "METRIC>VALUE");
  const Ran late =
      jevons_run({"train", "tests/scenarios/deepseek-v3-train.json", "--fail-if", "cost_us>1"});
  CHECK(late.code == 2);
  CHECK(contains(late.err, "did you mean 'cost_usd'"));
}

TEST_CASE("bad input: an error at a key that a flag gave names the flag") {
  const Ran ran = jevons_run({"train", "deepseek-v3", "--hw", "h800-sxm", "--count", "x"});
  CHECK(ran.code == 3);
  CHECK(contains(ran.err, "--count"));
  CHECK(contains(ran.err, "'x'"));
}

TEST_CASE("bad input: a hostile text cannot steer the terminal") {
  const Ran ran = with("/model", "\"\\u001b[2Jboo\"");
  CHECK(ran.code == 3);
  CHECK_FALSE(contains(ran.err, "\x1b"));
  CHECK(contains(ran.err, "\\x1b[2Jboo"));
}
