// Scenario sections `price` and `power`. What is left out comes from the price book, dated.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>

namespace jevons::reports {
namespace {

using sim::PriceSpec;

constexpr Range kUsd{0, 1e12};

std::string dated(const std::string& date, const std::string& provider, const std::string& basis,
                  const std::string& source) {
  std::string text = date;
  if (!provider.empty()) text += ", " + provider;
  if (!basis.empty()) text += ", " + basis;
  return text + "; " + source;
}

/// A default out of the price book's "default.…" figures, noted in the inputs.
double from_book(ScenarioReader& in, const hwmodels::PriceBook& book, const std::string& name,
                 const std::string& pointer) {
  const Sourced& figure = book.figure("default." + name);
  in.took(pointer, figure.value, figure.source.text, figure.source.mark);
  return figure.value;
}

void default_rental(ScenarioReader& in, const hwmodels::PriceBook& book, PriceSpec& price) {
  const std::string& id = in.out.cluster.accelerator.id;
  const std::string pointer = "/price/usd_per_accelerator_hour";
  const hwmodels::RentalPrice* rental = book.latest_rental(id, price.as_of);
  if (rental == nullptr) {
    in.took(pointer, "null",
            "no rental price of " + id + " is known" +
                (price.as_of.empty() ? "" : " at or before " + price.as_of) +
                ": no cost is computed");
    return;
  }
  price.usd_per_accelerator_hour = rental->usd_per_accelerator_hour;
  if (price.as_of.empty()) price.as_of = rental->date;
  in.took(pointer, rental->usd_per_accelerator_hour,
          dated(rental->date, rental->provider, rental->basis, rental->source.text),
          rental->source.mark);
}

void read_owned(ScenarioReader& in, ObjectReader& object, const hwmodels::PriceBook& book,
                PriceSpec& price) {
  const auto or_book = [&](std::string_view key, Range range) {
    const std::optional<double> given = object.optional_number(key, range);
    return given ? *given : from_book(in, book, std::string(key), "/price/" + std::string(key));
  };
  const std::optional<double> chip = object.optional_number("accelerator_usd", kUsd, UnitKind::usd);
  if (chip) {
    price.accelerator_usd = *chip;
  } else {
    const std::string& id = in.out.cluster.accelerator.id;
    const hwmodels::PurchasePrice* purchase = book.latest_purchase(id, price.as_of);
    if (purchase == nullptr) {
      throw bad_input(object.where(), "missing key 'accelerator_usd'",
                      "no purchase price of " + id + " is known");
    }
    price.accelerator_usd = purchase->usd_per_accelerator;
    in.took("/price/accelerator_usd", purchase->usd_per_accelerator,
            dated(purchase->date, "", purchase->basis, purchase->source.text),
            purchase->source.mark);
  }
  price.server_usd_per_accelerator = object.number_or("server_usd_per_accelerator", 0, kUsd);
  price.network_usd_per_accelerator = object.number_or("network_usd_per_accelerator", 0, kUsd);
  price.depreciation_years = or_book("depreciation_years", {0.01, 100});
  price.cost_of_capital = or_book("cost_of_capital", {0, 10});
  price.electricity_usd_per_kwh = or_book("electricity_usd_per_kwh", {0, 1000});
  price.colocation_usd_per_kw_month = object.number_or("colocation_usd_per_kw_month", 0, kUsd);
  price.staff_usd_per_hour = object.number_or("staff_usd_per_hour", 0, kUsd);
  price.utilisation = or_book("utilisation", {1e-6, 1});
}

std::optional<sim::SellPrices> read_sell(ScenarioReader& in, ObjectReader& object) {
  std::optional<ObjectReader> sell = object.optional_object("sell");
  if (!sell) return std::nullopt;
  if (in.out.task != sim::Task::serve) {
    throw bad_input(object.where("sell"),
                    "selling prices in a scenario whose task is '" +
                        std::string(sim::to_string(in.out.task)) + "'",
                    "only serving sells tokens");
  }
  sim::SellPrices prices;
  prices.input_usd_per_mtok = sell->number("input_usd_per_mtok", kUsd);
  prices.cached_input_usd_per_mtok =
      sell->number_or("cached_input_usd_per_mtok", prices.input_usd_per_mtok, kUsd);
  prices.output_usd_per_mtok = sell->number("output_usd_per_mtok", kUsd);
  sell->finish();
  return prices;
}

/// "2025", "2025-01" or "2025-01-31".
void check_date(const std::string& date, const std::string& where) {
  const auto digits = [&](std::size_t from, std::size_t count) {
    return std::all_of(date.begin() + static_cast<long>(from),
                       date.begin() + static_cast<long>(from + count),
                       [](char c) { return c >= '0' && c <= '9'; });
  };
  const std::size_t n = date.size();
  const bool ok = (n == 4 || n == 7 || n == 10) && digits(0, 4) &&
                  (n < 7 || (date[4] == '-' && digits(5, 2))) &&
                  (n < 10 || (date[7] == '-' && digits(8, 2)));
  if (!ok)
    throw bad_input(where, "cannot read '" + date + "'", "allowed: a date such as 2025-01-31");
}

}  // namespace

void read_price(ScenarioReader& in, ObjectReader& root) {
  PriceSpec& price = in.out.price;
  std::optional<ObjectReader> object = root.optional_object("price");
  if (!object && in.out.task == sim::Task::op) return;  // an operator has no price
  const hwmodels::PriceBook book = in.catalogue.prices();
  if (!object) {
    in.took("/price/basis", "rental", "default");
    default_rental(in, book, price);
    return;
  }
  const std::string basis = object->choice_or("basis", "rental", {"rental", "owned"});
  price.basis = basis == "owned" ? PriceSpec::Basis::owned : PriceSpec::Basis::rental;
  price.as_of = object->string_or("as_of", "");
  if (!price.as_of.empty()) check_date(price.as_of, object->where("as_of"));
  price.currency = object->choice_or("currency", "USD", {"USD"});
  if (price.basis == PriceSpec::Basis::owned) {
    read_owned(in, *object, book, price);
  } else {
    price.usd_per_accelerator_hour =
        object->optional_number("usd_per_accelerator_hour", {0, 1e6}, UnitKind::usd);
    if (!price.usd_per_accelerator_hour) default_rental(in, book, price);
  }
  price.sell = read_sell(in, *object);
  object->finish();
}

void read_power(ScenarioReader& in, ObjectReader& root) {
  sim::PowerSpec& power = in.out.power;
  std::optional<ObjectReader> object = root.optional_object("power");
  std::optional<double> pue, grid;
  if (object) {
    pue = object->optional_number("pue", {1, 10});
    grid = object->optional_number("grid_gco2e_per_kwh", {0, 10000});
    power.host_w_per_accelerator =
        object->optional_number("host_w_per_accelerator", {0, 1e6}, UnitKind::watts);
    object->finish();
  }
  if (pue) power.pue = *pue;
  if (grid) power.grid_gco2e_per_kwh = *grid;
  if (pue && grid) return;
  if (in.out.task == sim::Task::op) return;
  const hwmodels::PriceBook book = in.catalogue.prices();
  if (!pue) power.pue = from_book(in, book, "pue", "/power/pue");
  if (!grid) {
    power.grid_gco2e_per_kwh =
        from_book(in, book, "grid_gco2e_per_kwh", "/power/grid_gco2e_per_kwh");
  }
}

Json write_price(const PriceSpec& price) {
  Json out = Json::object();
  if (price.basis == PriceSpec::Basis::rental) {
    out["basis"] = "rental";
    if (price.usd_per_accelerator_hour) {
      out["usd_per_accelerator_hour"] = number_json(*price.usd_per_accelerator_hour);
    }
  } else {
    out["basis"] = "owned";
    out["accelerator_usd"] = number_json(price.accelerator_usd);
    out["server_usd_per_accelerator"] = number_json(price.server_usd_per_accelerator);
    out["network_usd_per_accelerator"] = number_json(price.network_usd_per_accelerator);
    out["depreciation_years"] = number_json(price.depreciation_years);
    out["cost_of_capital"] = number_json(price.cost_of_capital);
    out["electricity_usd_per_kwh"] = number_json(price.electricity_usd_per_kwh);
    out["colocation_usd_per_kw_month"] = number_json(price.colocation_usd_per_kw_month);
    out["staff_usd_per_hour"] = number_json(price.staff_usd_per_hour);
    out["utilisation"] = number_json(price.utilisation);
  }
  if (!price.as_of.empty()) out["as_of"] = price.as_of;
  out["currency"] = price.currency;
  if (price.sell) {
    Json sell = Json::object();
    sell["input_usd_per_mtok"] = number_json(price.sell->input_usd_per_mtok);
    sell["cached_input_usd_per_mtok"] = number_json(price.sell->cached_input_usd_per_mtok);
    sell["output_usd_per_mtok"] = number_json(price.sell->output_usd_per_mtok);
    out["sell"] = std::move(sell);
  }
  return out;
}

}  // namespace jevons::reports
