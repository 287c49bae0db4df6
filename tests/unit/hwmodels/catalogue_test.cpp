#include "jevons/hwmodels/catalogue.hpp"

#include "support.hpp"

#include <doctest/doctest.h>

#include <string>

using jevons::Error;
using jevons::ErrorKind;
using jevons::Format;
using jevons::Mark;
using jevons::NumberFormat;
using jevons::test::contains;
using jevons::test::error_of;
using jevons::test::TemporaryFile;
using namespace jevons::hwmodels;

namespace {

const Catalogue kCatalogue;

}  // namespace

TEST_CASE("catalogue: every one of the 49 SKUs loads and names its sources") {
  const std::vector<std::string> ids = kCatalogue.accelerator_ids();
  CHECK(ids.size() == 49);
  std::size_t figures = 0;
  for (const std::string& id : ids) {
    const Accelerator sku = kCatalogue.accelerator(id, "test");
    CHECK(sku.id == id);
    CHECK_FALSE(sku.name.empty());
    CHECK_FALSE(sku.vendor.empty());
    CHECK(sku.own_constants.size() <= kMaxSkuConstants);
    for (const auto& [name, figure] : sku.figures) {
      CAPTURE(id);
      CAPTURE(name);
      CHECK_FALSE(figure.source.text.empty());
      CHECK(figure.source.mark != Mark::assumed);
      const bool says = figure.value || !figure.text.empty() || !figure.values.empty();
      CHECK((says || !figure.note.empty()));
      ++figures;
    }
  }
  CHECK(figures >= 900);
}

TEST_CASE("catalogue: figures are of a physical size") {
  for (const std::string& id : kCatalogue.accelerator_ids()) {
    CAPTURE(id);
    const Accelerator sku = kCatalogue.accelerator(id, "test");
    const double memory_rate = sku.require("memory_bandwidth_bytes_per_s");
    CHECK(memory_rate > 5e10);
    CHECK(memory_rate < 1e17);
    if (const auto bytes = sku.find("memory_bytes")) {
      CHECK(*bytes >= 1e8);
      CHECK(*bytes <= 2e12);
    }
    if (const auto tdp = sku.find("tdp_w")) {
      CHECK(*tdp >= 60);
      CHECK(*tdp <= 30000);
      if (const auto idle = sku.find("idle_w")) CHECK(*idle < *tdp);
    }
    // The narrower a format, the faster its unit: never slower.
    const auto bf16 = sku.find("peak_bf16_flops_per_s");
    const auto fp8 = sku.find("peak_fp8_flops_per_s");
    const auto fp4 = sku.find("peak_fp4_flops_per_s");
    if (bf16 && fp8) CHECK(*fp8 >= *bf16);
    if (fp8 && fp4) CHECK(*fp4 >= *fp8);
    // A link is slower than the memory behind it; a peer is no faster than all peers.
    const auto up = sku.find("scale_up_bytes_per_s");
    const auto peer = sku.find("scale_up_peer_bytes_per_s");
    if (up) CHECK(*up <= memory_rate);
    if (up && peer) CHECK(*peer <= *up);
  }
}

TEST_CASE("catalogue: an unknown accelerator is answered with the nearest names") {
  const Error error = error_of([] { (void)kCatalogue.accelerator("h100-sxn", "--hw"); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(error.where() == "--hw");
  CHECK(contains(error.message(), "h100-sxn"));
  CHECK(contains(error.hint(), "'h100-sxm'"));
}

TEST_CASE("catalogue: a figure that the SKU lacks is an error that names both") {
  const Accelerator cpu = kCatalogue.accelerator("epyc-9654", "test");
  const Error error = error_of([&] { (void)cpu.require("memory_bytes"); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(contains(error.message(), "epyc-9654"));
  CHECK(contains(error.message(), "memory_bytes"));
}

TEST_CASE("catalogue: a user file changes one figure of a shipped SKU and keeps the rest") {
  const TemporaryFile file("overlay.json",
                           R"({"based_on": "h100-sxm", "id": "my-h100",
                               "figures": {"tdp_w": 500, "memory_bytes": "96GB"}})");
  const Accelerator mine = kCatalogue.accelerator(file.path(), "--hw");
  const Accelerator shipped = kCatalogue.accelerator("h100-sxm", "test");
  CHECK(mine.id == "my-h100");
  CHECK(mine.require("tdp_w") == 500.0);
  CHECK(mine.require("memory_bytes") == 96e9);
  CHECK(mine.figures.at("tdp_w").source.mark == Mark::assumed);
  CHECK(mine.require("peak_bf16_flops_per_s") == shipped.require("peak_bf16_flops_per_s"));
  CHECK(mine.constants.all().size() == shipped.constants.all().size());
}

TEST_CASE("catalogue: a mistyped figure or key of a user file is named with its place") {
  const TemporaryFile figure("figure.json",
                             R"({"based_on": "h100-sxm", "figures": {"tdp_watt": 500}})");
  const Error first = error_of([&] { (void)kCatalogue.accelerator(figure.path(), "--hw"); });
  CHECK(first.kind() == ErrorKind::bad_input);
  CHECK(contains(first.where(), "/figures/tdp_watt"));
  CHECK(contains(first.hint(), "tdp_w"));
  const TemporaryFile key("key.json", R"({"based_on": "h100-sxm", "figure": {}})");
  const Error second = error_of([&] { (void)kCatalogue.accelerator(key.path(), "--hw"); });
  CHECK(contains(second.where(), "/figure"));
  CHECK(contains(second.hint(), "figures"));
}

TEST_CASE("catalogue: nine constants of its own are refused, eight are taken") {
  const Accelerator shipped = kCatalogue.accelerator("m3-ultra", "test");
  std::string eight;
  std::vector<std::string> names;
  for (const auto& [name, unused] : shipped.constants.all()) names.push_back(name);
  REQUIRE(names.size() >= 9);
  for (std::size_t i = 0; i < 8; ++i) eight += (i == 0 ? "\"" : ", \"") + names[i] + "\": 1";
  const std::string head = R"({"based_on": "m3-ultra", "constants": {)";
  const TemporaryFile good("eight.json", head + eight + "}}");
  CHECK(kCatalogue.accelerator(good.path(), "--hw").constants.at(names[7]) == 1.0);
  const TemporaryFile bad("nine.json", head + eight + ", \"" + names[8] + "\": 1}}");
  const Error error = error_of([&] { (void)kCatalogue.accelerator(bad.path(), "--hw"); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(contains(error.where(), "/constants"));
  CHECK(contains(error.hint(), "eight"));
}

TEST_CASE("catalogue: a constant of a user file that no class knows is refused with the nearest") {
  const TemporaryFile bad("constant.json",
                          R"({"based_on": "h100-sxm", "constants": {"power.j_per_bite": 1}})");
  const Error error = error_of([&] { (void)kCatalogue.accelerator(bad.path(), "--hw"); });
  CHECK(contains(error.where(), "/constants/power.j_per_bite"));
  CHECK(contains(error.hint(), "power.j_per_byte"));
}

TEST_CASE("catalogue: bad JSON, a wrong schema and a missing file are named with their place") {
  const TemporaryFile broken("broken.json", "{\n  \"based_on\": \"h100-sxm\",\n}");
  const Error first = error_of([&] { (void)kCatalogue.accelerator(broken.path(), "--hw"); });
  CHECK(first.kind() == ErrorKind::bad_input);
  CHECK(contains(first.where() + first.message(), "line 3"));
  const TemporaryFile schema("schema.json", R"({"schema": "jevons.stack/1"})");
  const Error second = error_of([&] { (void)kCatalogue.accelerator(schema.path(), "--hw"); });
  CHECK(contains(second.where(), "/schema"));
  CHECK(contains(second.hint(), "jevons.accelerator/1"));
  const Error third = error_of([] { (void)kCatalogue.accelerator("./nowhere.json", "--hw"); });
  CHECK(third.kind() == ErrorKind::bad_input);
  CHECK(contains(third.where(), "nowhere.json"));
}

TEST_CASE("accelerator: a format without a unit of its own runs at the next wider one") {
  const Accelerator a100 = kCatalogue.accelerator("a100-80gb-sxm", "test");
  const Accelerator h100 = kCatalogue.accelerator("h100-sxm", "test");
  const Accelerator b200 = kCatalogue.accelerator("b200-sxm", "test");
  const auto peak = [](const Accelerator& sku, Format format) {
    return sku.peak(NumberFormat{format}).raw();
  };
  CHECK(peak(a100, Format::bf16) == 312e12);
  CHECK(peak(a100, Format::fp8) == 312e12);  // Ampere has no 8-bit float
  CHECK(peak(h100, Format::nvfp4) == peak(h100, Format::fp8));
  CHECK(peak(h100, Format::fp8_block) == doctest::Approx(1979e12).epsilon(1e-3));
  CHECK(peak(b200, Format::nvfp4) == doctest::Approx(2 * peak(b200, Format::mxfp8)).epsilon(0.01));
  CHECK(h100.peak_figure({Format::nvfp4}) == "peak_fp8_flops_per_s");
}

TEST_CASE("catalogue: a class hands its constants down to its SKUs") {
  const Accelerator b300 = kCatalogue.accelerator("b300-sxm", "test");
  const Accelerator l4 = kCatalogue.accelerator("l4", "test");
  // blackwell-ultra is based on blackwell; ada gives no power constants of its own.
  CHECK(b300.constants.at("power.p0_fraction_of_tdp") == 0.19);
  CHECK(l4.constants.at("power.p0_fraction_of_tdp") == 0.24);
  const Error error = error_of([&] { (void)l4.constants.at("no.such_constant"); });
  CHECK(contains(error.message(), "no.such_constant"));
}
