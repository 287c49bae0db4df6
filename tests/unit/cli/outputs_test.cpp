// Where results go: files whole or absent, standard output clean, saved results re-rendered.
#include "run.hpp"

#include "jevons/reports/sha256.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <sys/stat.h>
#include <unistd.h>

using Json = nlohmann::ordered_json;

namespace {

const std::string kV3 = "tests/scenarios/deepseek-v3-train.json";
const std::string kR1 = "tests/scenarios/deepseek-r1-serve.json";

std::vector<std::string> gemm(std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"roofline", "--op", "gemm",     "--m",     "4096",
                                     "--n",      "7168", "--k",      "2048",    "--precision",
                                     "fp8",      "--hw", "h100-sxm", "--count", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("cli: --json - prints one JSON document and nothing else") {
  const Ran ran = jevons_run({"train", kV3, "--json", "-"});
  REQUIRE(ran.code == 0);
  CHECK(ran.err.empty());
  const Json result = Json::parse(ran.out);
  CHECK(result["schema"] == "jevons.result/1");
  CHECK(result["tool"]["name"] == "jevons");
  CHECK(result["metrics"]["step_time_s"].get<double>() > 0);
  CHECK(result["inputs"]["parallelism"]["dp"] == 128);
  CHECK(result["inputs_sha256"] == jevons::reports::sha256(result["inputs"].dump()));
}

TEST_CASE("cli: the same command gives the same bytes") {
  CHECK(jevons_run({"train", kV3, "--json", "-"}).out ==
        jevons_run({"train", kV3, "--json", "-"}).out);
  CHECK(jevons_run({"serve", kR1, "--json", "-"}).out ==
        jevons_run({"serve", kR1, "--json", "-"}).out);
}

TEST_CASE("cli: the resolved inputs of a result are a scenario with the same result") {
  const Folder folder;
  const Json first = Json::parse(jevons_run({"train", kV3, "--json", "-"}).out);
  const std::string inputs = folder.put("inputs.json", first["inputs"].dump());
  const Json again = Json::parse(jevons_run({"train", inputs, "--json", "-"}).out);
  CHECK(again["metrics"] == first["metrics"]);
  CHECK(again["inputs_sha256"] == first["inputs_sha256"]);
}

TEST_CASE("cli: files are written whole, and nothing is left beside them") {
  const Folder folder;
  const Ran ran = jevons_run({"train", kV3, "--json", folder.file("r.json"), "--html",
                              folder.file("r.html"), "--csv", folder.file("r.csv"), "--quiet"});
  CHECK(ran.code == 0);
  CHECK(ran.out.empty());
  CHECK(folder.names() == std::vector<std::string>{"r.csv", "r.html", "r.json"});
  CHECK(Json::parse(slurp(folder.file("r.json")))["schema"] == "jevons.result/1");
  CHECK(slurp(folder.file("r.csv")).starts_with("scenario,metric,value,unit\r\n"));
  CHECK(contains(slurp(folder.file("r.csv")), ",step_time_s,"));
  CHECK(contains(slurp(folder.file("r.html")), "Content-Security-Policy"));
}

TEST_CASE("cli: a failed run leaves an earlier file as it was") {
  const Folder folder;
  const std::string out = folder.put("r.json", "earlier");
  const Ran ran = jevons_run({"train", kV3, "--set", "cluster.count=7", "--json", out});
  CHECK(ran.code == 3);
  CHECK(slurp(out) == "earlier");
  CHECK(folder.names() == std::vector<std::string>{"r.json"});
}

TEST_CASE("cli: a place that cannot be written is told before the work") {
  const Folder folder;
  for (const std::string& place :
       {folder.file("none/r.json"), folder.file(""), std::string("/proc/x")}) {
    const Ran ran = jevons_run({"train", "no-such-scenario.json", "--json", place});
    CAPTURE(ran.err);
    CHECK(ran.code == 3);
    CHECK(contains(ran.err, "--json"));
    CHECK(contains(ran.err, "cannot write"));
  }
  CHECK(folder.names().empty());
}

TEST_CASE("cli: the names of Megatron and vLLM mean the same as the short ones") {
  const auto inputs = [](const std::vector<std::string>& layout) {
    std::vector<std::string> arguments{"train",    "mixtral-8x7b", "--hw",
                                       "h100-sxm", "--count",      "64"};
    arguments.insert(arguments.end(), layout.begin(), layout.end());
    arguments.insert(arguments.end(), {"--json", "-"});
    const Ran ran = jevons_run(arguments);
    CAPTURE(ran.err);
    REQUIRE((ran.code == 0 || ran.code == 4));
    return Json::parse(ran.out)["inputs"].dump();
  };
  const std::string ours = inputs({"--tp", "2", "--pp", "4", "--ep", "8", "--etp", "1", "--cp", "1",
                                   "--seq-length", "2048", "--global-batch", "256", "--micro-batch",
                                   "1", "--sharding", "zero1", "--sp"});
  CHECK(inputs({"--tensor-model-parallel-size", "2", "--pipeline-model-parallel-size", "4",
                "--expert-model-parallel-size", "8", "--expert-tensor-parallel-size", "1",
                "--context-parallel-size", "1", "--seq-length", "2048", "--global-batch-size",
                "256", "--micro-batch-size", "1", "--use-distributed-optimizer",
                "--sequence-parallel"}) == ours);
  CHECK(inputs({"--tensor-parallel-size=2", "--pipeline-parallel-size=4", "--ep=8", "--etp=1",
                "--set", "train.sequence_length=2048", "--set", "train.global_batch_sequences=256",
                "--set", "train.micro_batch_sequences=1", "--set", "parallelism.sharding=zero1",
                "--set", "parallelism.sp=true", "--set", "parallelism.cp=1"}) == ours);
}

TEST_CASE("cli: --set goes over flags, flags go over the file") {
  const auto batch = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train", kV3};
    arguments.insert(arguments.end(), more.begin(), more.end());
    arguments.insert(arguments.end(), {"--json", "-"});
    return Json::parse(jevons_run(arguments).out)["inputs"]["train"]["global_batch_sequences"];
  };
  CHECK(batch({}) == 15360);
  CHECK(batch({"--global-batch", "7680"}) == 7680);
  CHECK(batch({"--set", "train.global_batch_sequences=30720", "--global-batch", "7680"}) == 30720);
}

TEST_CASE("cli: a preset of a precision may be refined") {
  const Ran ran = jevons_run({"serve", "llama-3.1-8b", "--hw", "h100-sxm", "--count", "1",
                              "--precision", "fp8", "--kv-cache-dtype", "fp8", "--json", "-"});
  REQUIRE(ran.code == 0);
  const Json precision = Json::parse(ran.out)["inputs"]["precision"];
  CHECK(precision["preset"] == "fp8");
  CHECK(precision["kv_cache"] == "fp8");
}

TEST_CASE("cli: every default that was taken is listed with its source") {
  const Ran ran =
      jevons_run({"train", "llama-3.1-8b", "--hw", "h100-sxm", "--count", "8", "--json", "-"});
  REQUIRE((ran.code == 0 || ran.code == 4));
  std::vector<std::string> paths;
  const Json result = Json::parse(ran.out);
  for (const Json& input : result["provenance"]) {
    if (!input.contains("taken_by_default")) continue;
    paths.push_back(input["path"]);
    CHECK_FALSE(input["source"].get<std::string>().empty());
  }
  for (const char* path :
       {"/precision", "/stack", "/train/sequence_length", "/train/global_batch_sequences",
        "/price/usd_per_accelerator_hour", "/power/pue", "/power/grid_gco2e_per_kwh"}) {
    CHECK_MESSAGE(std::find(paths.begin(), paths.end(), path) != paths.end(), path);
  }
}

TEST_CASE("cli: a saved result is rendered again without running") {
  const Folder folder;
  const Ran first = jevons_run({"train", kV3, "--json", folder.file("r.json")});
  const Ran again = jevons_run({"report", folder.file("r.json"), "--html", folder.file("r.html")});
  CHECK(again.code == 0);
  CHECK(again.out == first.out);
  // What is in the file is shown, whatever a run would give.
  Json changed = Json::parse(slurp(folder.file("r.json")));
  changed["metrics"]["step_time_s"] = 123.0;
  const Ran other = jevons_run({"report", folder.put("c.json", changed.dump()), "--csv", "-"});
  CHECK(contains(other.out, ",step_time_s,123,s"));
}

TEST_CASE("cli: several scenarios make one report") {
  const Folder folder;
  const Ran ran = jevons_run({"report", kV3, kR1, "--json", folder.file("all.json"), "--html",
                              folder.file("all.html"), "--quiet"});
  CAPTURE(ran.err);
  REQUIRE((ran.code == 0 || ran.code == 4));
  const Json all = Json::parse(slurp(folder.file("all.json")));
  CHECK(all["results"].size() == 2);
  CHECK(contains(slurp(folder.file("all.html")), "DeepSeek-R1"));
  CHECK(jevons_run({"report", folder.file("all.json"), "--csv", "-"}).code == ran.code);
}

TEST_CASE("cli: a hostile model name is harmless in HTML, CSV and terminal") {
  Json scenario = Json::parse(slurp(kV3));
  scenario["name"] = "=<script>alert(1)</script>\x1b[31m";
  const Folder folder;
  const std::string file = folder.put("s.json", scenario.dump());
  const Ran ran =
      jevons_run({"train", file, "--html", folder.file("r.html"), "--csv", folder.file("r.csv")});
  REQUIRE(ran.code == 0);
  CHECK_FALSE(contains(ran.out, "\x1b"));
  CHECK_FALSE(contains(slurp(folder.file("r.html")), "<script"));
  CHECK(contains(slurp(folder.file("r.html")), "&lt;script&gt;"));
  CHECK(contains(slurp(folder.file("r.csv")), "'=<script>"));
}

TEST_CASE("cli: --fail-if gives exit code 1 and the sentence, and the result all the same") {
  const Ran holds = jevons_run({"train", kV3, "--fail-if", "cost_usd>1"});
  CHECK(holds.code == 1);
  CHECK(contains(holds.err, "cost_usd"));
  CHECK(contains(holds.out, "step time"));
  CHECK(jevons_run({"train", kV3, "--fail-if", "cost_usd>1e12", "--fail-if", "mfu<0.01"}).code ==
        0);
}

TEST_CASE("cli: diff tells what changed, in per cent, and can fail") {
  const Folder folder;
  (void)jevons_run({"train", kV3, "--json", folder.file("a.json"), "--quiet"});
  (void)jevons_run({"train", kV3, "--price", "3", "--json", folder.file("b.json"), "--quiet"});
  const Ran ran = jevons_run({"diff", folder.file("a.json"), folder.file("b.json")});
  CHECK(ran.code == 0);
  CHECK(contains(ran.out, "~ price.usd_per_accelerator_hour: 2 -> 3"));
  CHECK(contains(ran.out, "+50.0 %"));
  CHECK_FALSE(contains(ran.out, "step_time_s"));
  CHECK(jevons_run(
            {"diff", folder.file("a.json"), folder.file("b.json"), "--fail-if", "cost_usd>+49%"})
            .code == 1);
  CHECK(jevons_run(
            {"diff", folder.file("a.json"), folder.file("b.json"), "--fail-if", "cost_usd>+51%"})
            .code == 0);
  const Json json =
      Json::parse(jevons_run({"diff", folder.file("a.json"), kV3, "--json", "-"}).out);
  CHECK(json["metrics"]["cost_usd"]["change"] == 0.0);
}

TEST_CASE("cli: compare gives each accelerator a row, also one that lacks a figure") {
  const Ran ran = jevons_run({"compare", kV3, "--hw", "h800-sxm,h100-sxm,wse-2", "--json", "-"});
  REQUIRE(ran.code == 0);
  const Json rows = Json::parse(ran.out)["rows"];
  REQUIRE(rows.size() == 3);
  CHECK(rows[0]["ratios"]["step_time_s"] == 1.0);
  CHECK(rows[1]["reason"].is_null());
  CHECK(rows[1]["result"]["inputs"]["cluster"]["accelerator"] == "h100-sxm");
  // The H800's own link speed and price do not follow to another chip.
  CHECK_FALSE(rows[1]["result"]["inputs"]["cluster"].contains("scale_out_bytes_per_s"));
  CHECK(rows[1]["result"]["inputs"]["price"]["usd_per_accelerator_hour"] != 2.0);
  CHECK(contains(rows[2]["reason"].get<std::string>(), "wse-2"));
  CHECK(rows[2]["result"].is_null());
  CHECK(jevons_run({"compare", kV3, "--hw", "h800-sxm,h100-smx"}).code == 3);
}

TEST_CASE("cli: roofline of one operator, as flags and as file") {
  const Ran flags = jevons_run(gemm({"--json", "-"}));
  REQUIRE(flags.code == 0);
  const Json result = Json::parse(flags.out);
  // 2 m n k = 2 * 4096 * 7168 * 2048.
  CHECK(result["metrics"]["flops"] == 120259084288.0);
  CHECK(result["metrics"]["bound"] == "compute");
  const Folder folder;
  const std::string file = folder.put("op.json", result["inputs"].dump());
  CHECK(Json::parse(jevons_run({"roofline", file, "--json", "-"}).out)["metrics"] ==
        result["metrics"]);
  const Ran model = jevons_run({"roofline", kV3});
  CHECK(model.code == 0);
  CHECK(contains(model.out, "Operators of one accelerator"));
}

TEST_CASE("cli: explain shows the formulas with the numbers in them") {
  const Ran ran = jevons_run({"explain", kV3});
  CHECK(ran.code == 0);
  CHECK(contains(ran.out, " = "));
  CHECK(contains(ran.out, "GPU-h") + contains(ran.out, "USD") > 0);
}

TEST_CASE("cli: list, show and schema print what ships") {
  for (const char* kind : {"models", "hardware", "stacks", "prices", "claims"}) {
    const Ran ran = jevons_run({"list", kind, "--json", "-"});
    CHECK(ran.code == 0);
    CHECK(Json::parse(ran.out).size() > 10);
  }
  CHECK(contains(jevons_run({"list", "models", "--ids"}).out, "deepseek-v3\n"));
  const Ran sku = jevons_run({"show", "hardware", "h800-sxm"});
  CHECK(contains(sku.out, "989 TFLOP/s"));
  CHECK(contains(sku.out, "DeepSeek-V3 Technical Report"));
  CHECK(contains(jevons_run({"show", "model", "deepseek-v3"}).out, "parameters_total"));
  CHECK(jevons_run({"show", "stack", "deepseek-2024"}).code == 0);
  CHECK(jevons_run({"show", "price", "h800-sxm"}).code == 0);
  CHECK(jevons_run({"show", "price", "warp-drive"}).code == 3);
  CHECK(Json::parse(jevons_run({"schema", "scenario"}).out)["title"] == "jevons.scenario/1");
}

TEST_CASE("cli: completion names every verb and is a script") {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Ran ran = jevons_run({"completion", shell});
    CHECK(ran.code == 0);
    for (const char* word : {"train", "validate", "tensor-parallel-size"}) {
      CHECK(contains(ran.out, word));
    }
  }
  const Folder folder;
  const std::string script = folder.put("c.bash", jevons_run({"completion", "bash"}).out);
  CHECK(std::system(("bash -n " + script).c_str()) == 0);
}

TEST_CASE("cli: validate scores a truth file") {
  const Folder folder;
  Json truth = Json::parse(R"({"schema": "jevons.truth/1", "name": "t", "cases": [{
    "id": "a", "group": "op/h100-sxm/gemm", "source": "none", "mark": "assumed", "note": "",
    "scenario": {"task": "op", "cluster": {"accelerator": "h100-sxm", "count": 1},
                 "op": {"kind": "copy", "bytes": 1e9}},
    "measured": {"time_s": 1.0}}]})");
  const std::string file = folder.put("t.json", truth.dump());
  const Ran ran = jevons_run({"validate", file, "--json", "-"});
  CAPTURE(ran.err);
  REQUIRE(ran.code == 0);
  const Json board = Json::parse(ran.out);
  CHECK(board["overall"]["n"] == 1);
  // A copy of 1 GB takes about a millisecond: 1 s is missed by nearly everything.
  CHECK(board["cases"][0]["error"].get<double>() < -0.99);
  CHECK(jevons_run({"validate", file, "--fail-if", "median>8%"}).code == 1);
}
