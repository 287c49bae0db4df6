// Reads the price files (schema jevons.prices/1).
#include "jevons/hwmodels/price.hpp"

#include "parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/hwmodels/catalogue.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace jevons::hwmodels {
namespace {

template <typename Use>
void each(ObjectReader& object, std::string_view key, Use use) {
  const Json* list = object.raw(key);
  if (list == nullptr) return;
  for (std::size_t i = 0; i < list->size(); ++i) {
    ObjectReader entry((*list)[i], object.file(), "/" + std::string(key) + "/" + std::to_string(i));
    use(entry);
    entry.finish();
  }
}

RentalPrice read_rental(ObjectReader& entry, std::string_view who) {
  RentalPrice price;
  price.accelerator = entry.string("accelerator");
  price.date = entry.string("date");
  price.provider = entry.string_or(who, "");
  price.basis = entry.string_or("basis", "");
  price.usd_per_accelerator_hour = entry.number("usd_per_accelerator_hour", kPositive);
  price.source = read_source(entry);
  price.note = entry.string_or("note", "");
  return price;
}

PurchasePrice read_purchase(ObjectReader& entry) {
  PurchasePrice price;
  price.accelerator = entry.string("accelerator");
  price.date = entry.string("date");
  price.basis = entry.string_or("basis", "");
  price.usd_per_accelerator = entry.number("usd_per_accelerator", kPositive);
  price.source = read_source(entry);
  price.note = entry.string_or("note", "");
  return price;
}

/// A number, words, or a list or table of them.
void spread(PriceBook& book, const std::string& name, const Json& value, const Sourced& common,
            const std::string& where) {
  if (value.is_string()) {
    book.texts.insert_or_assign(name, value.get<std::string>());
  } else if (value.is_array() || value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      spread(book, name + "." + key, item, common, where);
    }
  } else {
    Sourced figure = common;
    figure.value = read_number(value, where);
    if (!book.figures.emplace(name, std::move(figure)).second) {
      throw bad_input(where, "figure '" + name + "' is given twice");
    }
  }
}

void read_figures(PriceBook& book, ObjectReader& object) {
  std::optional<ObjectReader> list = object.optional_object("figures");
  if (!list) return;
  for (const auto& [name, unused] : list->value().items()) {
    ObjectReader entry = list->object(name);
    Sourced common;
    common.source = read_source(entry);
    common.note = entry.string_or("note", "");
    const std::string date = entry.string_or("date", "");
    if (!date.empty()) common.note += (common.note.empty() ? "" : "; ") + date;
    entry.ignore("accelerators");
    const Json* value = entry.raw("value");
    entry.finish();
    if (value == nullptr) throw bad_input(entry.where(), "missing key 'value'");
    spread(book, name, *value, common, entry.where("value"));
  }
}

/// `date` is at or before `as_of`, compared to the precision of the coarser of the two.
bool not_after(std::string_view date, std::string_view as_of) {
  const std::size_t length = std::min(date.size(), as_of.size());
  return as_of.empty() || date.substr(0, length) <= as_of.substr(0, length);
}

template <typename Price, typename Value>
const Price* latest(const std::vector<Price>& prices, std::string_view accelerator,
                    std::string_view as_of, Value value) {
  std::vector<const Price*> newest;
  for (const Price& price : prices) {
    if (price.accelerator != accelerator || !not_after(price.date, as_of)) continue;
    if (!newest.empty() && price.date < newest.front()->date) continue;
    if (!newest.empty() && price.date > newest.front()->date) newest.clear();
    newest.push_back(&price);
  }
  if (newest.empty()) return nullptr;
  // Equal prices keep the order of the file.
  std::sort(newest.begin(), newest.end(), [&](const Price* a, const Price* b) {
    return value(*a) < value(*b) || (value(*a) == value(*b) && a < b);
  });
  return newest[(newest.size() - 1) / 2];
}

}  // namespace

const RentalPrice* PriceBook::latest_rental(std::string_view accelerator,
                                            std::string_view as_of) const {
  return latest(rental, accelerator, as_of,
                [](const RentalPrice& price) { return price.usd_per_accelerator_hour; });
}

const PurchasePrice* PriceBook::latest_purchase(std::string_view accelerator,
                                                std::string_view as_of) const {
  return latest(purchase, accelerator, as_of,
                [](const PurchasePrice& price) { return price.usd_per_accelerator; });
}

const Sourced& PriceBook::figure(std::string_view name) const {
  const auto found = figures.find(name);
  if (found == figures.end()) {
    throw Error(ErrorKind::internal, "", "no price file gives '" + std::string(name) + "'");
  }
  return found->second;
}

namespace {

PriceBook read_price_book() {
  PriceBook book;
  for (const std::string& id : embedded_ids("prices")) {
    const DataDocument& document = embedded_document("prices/" + id + ".json");
    ObjectReader object(document.json, document.file);
    check_schema(object, "jevons.prices/1", true);
    object.ignore("description");
    each(object, "rental",
         [&](ObjectReader& entry) { book.rental.push_back(read_rental(entry, "provider")); });
    each(object, "history",
         [&](ObjectReader& entry) { book.history.push_back(read_rental(entry, "provider")); });
    each(object, "ownership",
         [&](ObjectReader& entry) { book.ownership.push_back(read_rental(entry, "owner")); });
    each(object, "purchase",
         [&](ObjectReader& entry) { book.purchase.push_back(read_purchase(entry)); });
    read_figures(book, object);
    object.finish();
  }
  return book;
}

}  // namespace

PriceBook Catalogue::prices() const {
  static const PriceBook book = read_price_book();
  return book;
}

}  // namespace jevons::hwmodels
