#include "support.hpp"

#include "jevons/hwmodels/catalogue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using jevons::Error;
using jevons::ErrorKind;
using jevons::test::contains;
using jevons::test::error_of;
using jevons::test::TemporaryFile;
using namespace jevons::hwmodels;

namespace {

const Catalogue kCatalogue;

}  // namespace

TEST_CASE(
    "stack: all 29 of the contract and three variants load, none gives more than 12 constants") {
  const std::vector<std::string> ids = kCatalogue.stack_ids();
  CHECK(ids.size() == 29 + 3);
  for (const std::string& id : ids) {
    CAPTURE(id);
    const Stack stack = kCatalogue.stack(id, "test");
    CHECK(stack.id == id);
    CHECK(stack.own_constants.size() <= kMaxStackConstants);
    // Every stack constant, and kernel constants where the stack has a library of its own.
    for (const StackConstant& known : stack_constants()) {
      CAPTURE(known.name);
      CHECK(stack.constants.find(known.name) != nullptr);
    }
    for (const auto& [name, value] : stack.constants.all()) {
      CAPTURE(name);
      CHECK_FALSE(value.source.text.empty());
      if (name.ends_with("_s")) CHECK(value.value >= 0);
      if (name.ends_with("_overlap")) CHECK((value.value >= 0 && value.value <= 1));
    }
  }
}

TEST_CASE("stack: every constant is documented with meaning and unit") {
  for (const StackConstant& constant : stack_constants()) {
    CAPTURE(constant.name);
    CHECK(constant.meaning.size() > 20);
    CHECK_FALSE(constant.unit.empty());
  }
}

TEST_CASE("stack: ideal has no overhead and hides every communication") {
  const Stack ideal = kCatalogue.stack("ideal", "test");
  CHECK(ideal.own_constants.empty());
  for (const auto& [name, value] : ideal.constants.all()) {
    CAPTURE(name);
    if (name.ends_with("_overlap")) CHECK(value.value == 1.0);
    if (name.ends_with("_s") && name != "serve_launch_s") CHECK(value.value == 0.0);
  }
}

TEST_CASE("stack: a later release keeps what it does not change of the one it is based on") {
  const Stack early = kCatalogue.stack("megatron-bridge-25.09", "test");
  const Stack late = kCatalogue.stack("megatron-bridge-26.06", "test");
  CHECK(late.at("host_per_layer_forward_s") == early.at("host_per_layer_forward_s"));
  CHECK(late.at("ep_overlap") > early.at("ep_overlap"));
}

TEST_CASE("stack: an unknown name is answered with the nearest") {
  const Error error = error_of([] { (void)kCatalogue.stack("vllm-0.17", "/stack"); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(error.where() == "/stack");
  CHECK(contains(error.hint(), "vllm-0.1"));
}

TEST_CASE("stack: thirteen constants of its own are refused, twelve are taken") {
  std::string twelve;
  const std::vector<StackConstant> known = stack_constants();
  for (std::size_t i = 0; i < kMaxStackConstants; ++i) {
    twelve += (i == 0 ? "\"" : ", \"") + known[i].name + "\": 1";
  }
  const std::string head = R"({"id": "mine", "constants": {)";
  const TemporaryFile good("twelve.json", head + twelve + "}}");
  CHECK(kCatalogue.stack(good.path(), "--stack").own_constants.size() == kMaxStackConstants);
  const TemporaryFile bad("thirteen.json",
                          head + twelve + ", \"" + known[kMaxStackConstants].name + "\": 1}}");
  const Error error = error_of([&] { (void)kCatalogue.stack(bad.path(), "--stack"); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(contains(error.hint(), "twelve"));
}

TEST_CASE("stack: a constant that no defaults file documents is refused") {
  const TemporaryFile bad("typo.json", R"({"id": "mine", "constants": {"tp_overlp": 0.5}})");
  const Error error = error_of([&] { (void)kCatalogue.stack(bad.path(), "--stack"); });
  CHECK(contains(error.where(), "/constants/tp_overlp"));
  CHECK(contains(error.hint(), "tp_overlap"));
}

TEST_CASE("stack: the default fits the task, and every SKU has one that exists") {
  const std::vector<std::string> ids = kCatalogue.stack_ids();
  for (const std::string& id : kCatalogue.accelerator_ids()) {
    const Accelerator sku = kCatalogue.accelerator(id, "test");
    for (const char* task : {"train", "serve", "op"}) {
      const std::string chosen = kCatalogue.default_stack(sku, task);
      CAPTURE(id);
      CHECK(std::find(ids.begin(), ids.end(), chosen) != ids.end());
      const std::string of = kCatalogue.stack(chosen, "test").task;
      CHECK((of == task || of == "any"));
    }
  }
  const auto serve = [](const char* id) {
    return kCatalogue.default_stack(kCatalogue.accelerator(id, "test"), "serve");
  };
  CHECK(serve("h100-sxm") == "vllm-0.18");
  CHECK(serve("mi300x") == "rocm-vllm-0.10");
  CHECK(serve("m3-ultra") == "llama.cpp");
  CHECK(serve("groq-lpu-v1") == "vendor");
}
