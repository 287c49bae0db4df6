// Reading scenarios: what is derived, what is refused, and that no text whatever crashes.
#include "jevons/core/error.hpp"
#include "jevons/reports/result_json.hpp"
#include "jevons/reports/scenario_json.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <random>

using namespace jevons;
using reports::read_scenario;

namespace {

const char* const kTraining = R"({
  "task": "train", "model": "deepseek-v3",
  "cluster": {"accelerator": "h800-sxm", "count": 2048, "scale_out_bytes_per_s": "400Gb/s"},
  "precision": {"preset": "fp8-block", "kv_cache": 6},
  "parallelism": {"pp": 16, "ep": 64, "dp": null},
  "train": {"sequence_length": 4096, "global_batch_sequences": 15360, "tokens": "14.8T",
            "recompute": ["norm", "mla_up_proj"], "overlap": {"tp": false},
            "failures": {"mtbf_accelerator_hours": 50700, "restart_s": "15min"}},
  "power": {"pue": 1.1}, "x_note": {"kept": "out"}
})";
const char* const kServing = R"({
  "task": "serve", "model": "deepseek-v3",
  "cluster": {"accelerator": "h200-sxm", "count": 16},
  "parallelism": {"tp": 8},
  "serve": {"traffic": {"kind": "poisson", "requests_per_s": 2, "requests": 100},
            "input_tokens": {"dist": "lognormal", "mean": 1000, "sigma": 0.5},
            "output_tokens": {"dist": "uniform", "low": 10, "high": 20}, "instances": 2,
            "speculation": {"method": "mtp", "tokens": 2, "acceptance": [0.8, 0.6]},
            "slo": {"ttft_s": "500ms"}},
  "price": {"basis": "owned", "accelerator_usd": 30000, "sell": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2}}
})";

const char* const kStages = R"({
  "task": "train", "model": "deepseek-v3",
  "cluster": {"accelerator": "h800-sxm", "count": 2048}, "precision": "fp8-block",
  "parallelism": {"pp": 16, "ep": 64},
  "train": {"schedule": "dualpipe", "global_batch_sequences": 15360, "stages": [
    {"name": "ramp", "tokens": "469B", "global_batch_sequences": {"from": 4096, "to": 15360}},
    {"name": "main", "tokens": 14.331e12},
    {"name": "32K", "steps": 1000, "sequence_length": 32768, "global_batch_sequences": 1920,
     "recompute": "full", "parallelism": {"cp": 8}}]}
})";

sim::Scenario read(const std::string& text) {
  const hwmodels::Catalogue catalogue;
  return read_scenario(parse_json(text, "test"), "test", catalogue);
}

std::string message_of(const std::string& text) {
  try {
    (void)read(text);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::bad_input);
    return error.what();
  }
  return "no error";
}

bool took(const sim::Scenario& scenario, const std::string& path) {
  for (const sim::InputSource& input : scenario.inputs) {
    if (input.path == path) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("scenario: units, derived layout and defaults of a training run") {
  const sim::Scenario s = read(kTraining);
  CHECK(s.parallelism.dp == 128);  // 2048 / 16
  CHECK(s.parallelism.etp == 1);   // ep > 1
  CHECK(s.cluster.scale_out.raw() == 50e9);
  CHECK(s.train.tokens == 14.8e12);
  CHECK(s.train.failures->restart_s == 900);
  CHECK(s.train.mtp);  // the model has a module
  CHECK(to_string(s.precision.gemm) == "fp8-block");
  CHECK(s.precision.kv_cache == NumberFormat{Format::bits, 6});
  CHECK(s.train.overlap.tp == false);
  CHECK_FALSE(s.train.overlap.dp.has_value());
  CHECK(took(s, "/stack"));
  CHECK(took(s, "/train/schedule"));
  CHECK(took(s, "/power/grid_gco2e_per_kwh"));
  CHECK_FALSE(took(s, "/power/pue"));
}

TEST_CASE("scenario: etp follows tp when there is no expert parallelism") {
  const sim::Scenario s = read(R"({"task": "train", "model": "mixtral-8x7b",
    "cluster": {"accelerator": "h100-sxm", "count": 8}, "parallelism": {"tp": 4}})");
  CHECK(s.parallelism.etp == 4);
  CHECK(s.parallelism.dp == 2);
}

TEST_CASE("scenario: a serving deployment is split into instances") {
  const sim::Scenario s = read(kServing);
  CHECK(s.serve.instances == 2);
  CHECK(s.parallelism.dp == 1);
  CHECK(s.serve.output_tokens.mean == 15);
  CHECK(s.serve.slo_ttft_s == 0.5);
  CHECK(s.serve.speculation->acceptance == std::vector<double>{0.8, 0.6});
  CHECK(s.price.basis == sim::PriceSpec::Basis::owned);
  CHECK(s.price.sell->cached_input_usd_per_mtok == 1);
  CHECK(took(s, "/serve/mode"));
  CHECK(took(s, "/price/depreciation_years"));
  // Instances that are not named follow from a named dp.
  const sim::Scenario t = read(R"({"task": "serve", "model": "llama-3.1-8b",
    "cluster": {"accelerator": "h100-sxm", "count": 8}, "parallelism": {"tp": 2, "dp": 1}})");
  CHECK(t.serve.instances == 4);
  CHECK(took(t, "/serve/instances"));
}

TEST_CASE("scenario: the rental price is the newest at or before the date, with its source") {
  const sim::Scenario s = read(R"({"task": "train", "model": "llama-3.1-8b",
    "cluster": {"accelerator": "h800-sxm", "count": 8}, "price": {"as_of": "2024-12"}})");
  CHECK(s.price.usd_per_accelerator_hour == 2.0);  // DeepSeek-V3 report, table 1
  for (const sim::InputSource& input : s.inputs) {
    if (input.path != "/price/usd_per_accelerator_hour") continue;
    CHECK(input.source.text.find("2024-12") != std::string::npos);
    CHECK(input.source.text.find("DeepSeek-V3 Technical Report") != std::string::npos);
  }
  CHECK(message_of(R"({"task": "train", "model": "llama-3.1-8b",
    "cluster": {"accelerator": "h800-sxm", "count": 8}, "price": {"as_of": "soon"}})")
            .find("2025-01-31") != std::string::npos);
}

TEST_CASE("scenario: pools of a disaggregated deployment must add up") {
  const std::string text = R"({"task": "serve", "model": "deepseek-v3",
    "cluster": {"accelerator": "h800-sxm", "count": 176},
    "serve": {"mode": "disaggregated", "redundant_experts": 32,
      "prefill": {"accelerators": 32, "parallelism": {"ep": 32}},
      "decode": {"accelerators": 144, "parallelism": {"ep": 144}}}})";
  const sim::Scenario s = read(text);
  CHECK(s.serve.decode->parallelism.dp == 144);
  std::string wrong = text;
  wrong.replace(wrong.find("176"), 3, "177");
  CHECK(message_of(wrong).find("prefill 1 x 32 + decode 1 x 144 = 176 accelerators, not 177") !=
        std::string::npos);
  std::string experts = text;
  experts.replace(experts.find("32,"), 3, "0,");
  CHECK(message_of(experts).find("ep 144 does not divide the 256 experts") != std::string::npos);
}

TEST_CASE("scenario: acceptance rates must match the draft tokens") {
  std::string text = kServing;
  text.replace(text.find("[0.8, 0.6]"), 10, "[0.8]");
  CHECK(message_of(text).find("1 rates for 2 draft tokens") != std::string::npos);
}

TEST_CASE("scenario: a stage puts its keys over the run's and is checked like a scenario") {
  const sim::Scenario s = read(kStages);
  REQUIRE(s.stages.size() == 3);
  CHECK(s.stages[0].batch_from == 4096);
  CHECK(s.stages[1].scenario.train.global_batch_sequences == 15360);
  CHECK(s.stages[2].scenario.parallelism.dp == 16);
  CHECK(s.stages[2].scenario.parallelism.pp == 16);
  CHECK(*s.stages[2].scenario.train.tokens == 1000.0 * 1920 * 32768);
  CHECK(*s.train.tokens == 14.8e12 + 1000.0 * 1920 * 32768);
  const auto changed = [](std::string_view from, std::string_view to) {
    std::string text = kStages;
    text.replace(text.find(from), from.size(), to);
    return message_of(text);
  };
  const auto says = [](const std::string& message, std::string_view part) {
    INFO(message);
    CHECK(message.find(part) != std::string::npos);
  };
  // Batches linear in the tokens from 4,096 to 15,360: 1,000 steps of their logarithmic mean.
  std::string steps = kStages;
  steps.replace(steps.find("\"tokens\": \"469B\""), 16, "\"steps\": 1000");
  CHECK(*read(steps).stages[0].scenario.train.tokens ==
        doctest::Approx(1000.0 * 4096 * (15360 - 4096) / std::log(15360.0 / 4096)));
  says(changed("{\"cp\": 8}", "{\"cp\": 7}"), "/train/stages/2");
  says(changed("\"steps\": 1000,", ""), "either tokens or steps");
  says(changed("\"from\": 4096", "\"from\": 3072"), "dualpipe with pp 16 and 24 micro-batches");
  says(changed("\"name\": \"main\"", "\"nam\": \"main\""), "/train/stages/1");
  says(changed("\"stages\": [", "\"tokens\": \"14.8T\", \"stages\": ["), "add up to");
}

TEST_CASE("scenario: written back it reads the same, and the words stay") {
  for (const char* text : {kTraining, kServing, kStages}) {
    const Json written = reports::write_scenario(read(text));
    CHECK(reports::write_scenario(read(written.dump())) == written);
    CHECK(written["model"] == "deepseek-v3");
  }
}

TEST_CASE("result: what is not a number is written as null, with a warning that says where") {
  sim::Result result;
  result.scenario = read(kTraining);
  result.metrics.set("step_time_s", std::nan(""));
  result.metrics.set("mfu", std::numeric_limits<double>::infinity());
  result.metrics.set_flag("fits", true);
  result.metrics.set_text("bound", "memory");
  const Json json = reports::result_to_json(result, "1");
  CHECK(json["metrics"]["step_time_s"].is_null());
  CHECK(json["metrics"]["mfu"].is_null());
  CHECK(json["metrics"]["fits"] == true);
  CHECK(json["metrics"]["bound"] == "memory");
  REQUIRE(json["warnings"].size() == 2);
  CHECK(json["warnings"][0]["path"] == "/metrics/step_time_s");
  CHECK(json["warnings"][1]["path"] == "/metrics/mfu");
  const hwmodels::Catalogue catalogue;
  const sim::Result again = reports::result_from_json(json, "r", catalogue);
  CHECK(std::isnan(*again.metrics.number("step_time_s")));
  CHECK(reports::result_to_json(again, "1")["metrics"] == json["metrics"]);
}

TEST_CASE("scenario: no string of bytes does more than be refused") {
  // Bytes of valid scenarios changed, removed, doubled; seeded, so that a failure comes back.
  std::mt19937 random(12345);
  const hwmodels::Catalogue catalogue;
  const std::vector<std::string> seeds{kTraining, kServing};
  const std::string alphabet = std::string("{}[]\",:0123456789.-+eE\\u\x80\xff\n null true") + '\0';
  long refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string text = seeds[static_cast<std::size_t>(i) % seeds.size()];
    for (unsigned edits = 1 + random() % 4; edits > 0; --edits) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0: text[at] = static_cast<char>(random() % 256); break;
        case 1: text.erase(at, 1 + random() % 20); break;
        case 2: text.insert(at, 1, alphabet[random() % alphabet.size()]); break;
        default: text.insert(at, text.substr(random() % text.size(), random() % 30)); break;
      }
      if (text.empty()) text = " ";
    }
    try {
      (void)read_scenario(parse_json(text, "fuzz"), "fuzz", catalogue);
    } catch (const Error& error) {
      // Anything else ends the test: std::exception, or an error that blames the program.
      CHECK_MESSAGE(error.kind() == ErrorKind::bad_input, std::string(error.what()) << "\n"
                                                                                    << text);
      ++refused;
    }
  }
  CHECK(refused > 2000);
}

TEST_CASE("scenario: no value of any type in any place does more than be refused") {
  const hwmodels::Catalogue catalogue;
  const std::vector<Json> values{nullptr,
                                 true,
                                 -1,
                                 0,
                                 1e308,
                                 9007199254740993LL,
                                 0.5,
                                 "",
                                 "x",
                                 "1e999",
                                 Json::array(),
                                 Json::object(),
                                 Json::array({1, "a", nullptr})};
  for (const char* text : {kTraining, kServing}) {
    const Json flat = parse_json(text, "t").flatten();
    for (const auto& [pointer, unused] : flat.items()) {
      // The leaf and every object above it.
      for (std::string path = pointer; !path.empty(); path = path.substr(0, path.rfind('/'))) {
        for (const Json& value : values) {
          Json changed = parse_json(text, "t");
          changed[Json::json_pointer(path)] = value;
          try {
            (void)read_scenario(changed, "fuzz", catalogue);
          } catch (const Error& error) {
            CHECK_MESSAGE(error.kind() == ErrorKind::bad_input,
                          path << " = " << value.dump() << ": " << std::string(error.what()));
          }
        }
      }
    }
  }
}
