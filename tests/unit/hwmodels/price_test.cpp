#include "support.hpp"

#include "jevons/hwmodels/catalogue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using jevons::Error;
using jevons::test::contains;
using jevons::test::error_of;
using namespace jevons::hwmodels;

namespace {

const PriceBook& book() {
  static const PriceBook prices = Catalogue().prices();
  return prices;
}

}  // namespace

TEST_CASE("prices: every observation is of a known SKU and has date, source and a sane size") {
  const std::vector<std::string> ids = Catalogue().accelerator_ids();
  const auto known = [&](const std::string& id) {
    return std::binary_search(ids.begin(), ids.end(), id);
  };
  CHECK(book().rental.size() == 104);
  CHECK(book().purchase.size() == 56);
  CHECK(book().ownership.size() == 18);
  for (const RentalPrice& price : book().rental) {
    CAPTURE(price.accelerator);
    CHECK(known(price.accelerator));
    CHECK(price.date.starts_with("20"));
    CHECK_FALSE(price.source.text.empty());
    CHECK(price.usd_per_accelerator_hour > 0.02);
    CHECK(price.usd_per_accelerator_hour < 200);
  }
  for (const PurchasePrice& price : book().purchase) CHECK(known(price.accelerator));
}

TEST_CASE("prices: the newest observation before a date is taken, of several the median") {
  const auto* late = book().latest_rental("h100-sxm");
  const auto* early = book().latest_rental("h100-sxm", "2024-12-31");
  REQUIRE(late != nullptr);
  REQUIRE(early != nullptr);
  CHECK(early->date <= "2024-12-31");
  CHECK(late->date > early->date);
  for (const RentalPrice& price : book().rental) {
    if (price.accelerator == "h100-sxm") CHECK(price.date <= late->date);
  }
  PriceBook three;
  for (const double usd : {3.0, 1.0, 2.0}) {
    three.rental.push_back({.accelerator = "a",
                            .date = "2025-01",
                            .provider = "",
                            .basis = "",
                            .usd_per_accelerator_hour = usd,
                            .source = {},
                            .note = ""});
  }
  CHECK(three.latest_rental("a")->usd_per_accelerator_hour == 2.0);
  CHECK(three.latest_rental("b") == nullptr);
  CHECK(three.latest_rental("a", "2024") == nullptr);
}

TEST_CASE("prices: figures have dotted names, lists are spread, an unknown name is an error") {
  CHECK(book().figure("default.pue").value == 1.2);
  CHECK(book().figure("all_in_w.h100-sxm").value == 1730);
  CHECK(book().figure("cost_of_capital_fraction_per_year.neocloud_debt.0").value == 0.09);
  CHECK(book().figure("failures.llama3_by_cause.faulty_gpu").value == 148);
  CHECK(book().figures.size() > 200);
  const Error error = error_of([] { (void)book().figure("no.such.figure"); });
  CHECK(contains(error.message(), "no.such.figure"));
}

TEST_CASE("prices: 419 interruptions are the sum of their causes") {
  double sum = 0;
  for (const auto& [name, figure] : book().figures) {
    if (name.starts_with("failures.llama3_by_cause.")) sum += figure.value;
  }
  CHECK(sum == book().figure("failures.llama3_unplanned_interruptions").value);
}

TEST_CASE("prices: PUE is at least one everywhere, carbon between hydro and coal") {
  for (const auto& [name, figure] : book().figures) {
    CAPTURE(name);
    if (name.starts_with("pue.")) CHECK((figure.value >= 1.0 && figure.value < 2.5));
    if (name.starts_with("carbon_gco2e_per_kwh.")) {
      CHECK((figure.value >= 20.0 && figure.value <= 1000.0));
    }
  }
}

TEST_CASE("claims: 43 claims, each with a verdict that is explained and an experiment") {
  const Claims claims = Catalogue().claims();
  CHECK(claims.claims.size() == 43);
  for (const Claim& claim : claims.claims) {
    CAPTURE(claim.id);
    CHECK(claims.verdicts.contains(claim.verdict));
    CHECK_FALSE(claim.truth.empty());
    CHECK_FALSE(claim.experiment_kind.empty());
  }
}
