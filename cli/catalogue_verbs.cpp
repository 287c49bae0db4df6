// list and schema: what ships.
#include "output.hpp"
#include "results.hpp"
#include "verbs.hpp"

#include "jevons/core/error.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/reports/format.hpp"
#include "jevons/reports/schemas.hpp"
#include "jevons/workloads/acceptance.hpp"
#include "jevons/workloads/model.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace jevons::cli {
namespace {

/// A table with the same rows as JSON.
struct Listing {
  std::vector<std::string> keys;               ///< JSON keys; the first is the id
  std::vector<std::vector<std::string>> rows;  ///< as shown
  Json json = Json::array();
};

std::string figure_text(const hwmodels::Accelerator& sku, std::string_view name,
                        std::string_view unit) {
  const std::optional<double> value = sku.find(name);
  return value ? reports::with_prefix(*value, unit) : "-";
}

Json figure_json(const hwmodels::Accelerator& sku, std::string_view name) {
  const std::optional<double> value = sku.find(name);
  return value ? Json(*value) : Json(nullptr);
}

Listing list_hardware(const hwmodels::Catalogue& catalogue) {
  Listing out{{"id", "name", "bf16", "memory", "bandwidth", "scale-up", "domain", "TDP"},
              {},
              Json::array()};
  for (const std::string& id : catalogue.accelerator_ids()) {
    const hwmodels::Accelerator sku = catalogue.accelerator(id, "");
    out.rows.push_back({id, sku.name, figure_text(sku, "peak_bf16_flops_per_s", "FLOP/s"),
                        figure_text(sku, "memory_bytes", "B"),
                        figure_text(sku, "memory_bandwidth_bytes_per_s", "B/s"),
                        figure_text(sku, "scale_up_bytes_per_s", "B/s"),
                        figure_text(sku, "scale_up_domain", ""), figure_text(sku, "tdp_w", "W")});
    Json item = Json::object();
    item["id"] = id;
    item["name"] = sku.name;
    item["vendor"] = sku.vendor;
    for (const char* name :
         {"peak_bf16_flops_per_s", "memory_bytes", "memory_bandwidth_bytes_per_s",
          "scale_up_bytes_per_s", "scale_up_domain", "tdp_w"}) {
      item[name] = figure_json(sku, name);
    }
    out.json.push_back(std::move(item));
  }
  return out;
}

Listing list_models() {
  Listing out{{"id", "name", "also"}, {}, Json::array()};
  for (const workloads::ModelPreset& preset : workloads::model_presets()) {
    std::string aliases;
    for (const std::string& alias : preset.aliases)
      aliases += (aliases.empty() ? "" : ", ") + alias;
    out.rows.push_back({preset.id, preset.name, aliases});
    out.json.push_back(Json{{"id", preset.id}, {"name", preset.name}, {"aliases", preset.aliases}});
  }
  return out;
}

Listing list_stacks(const hwmodels::Catalogue& catalogue) {
  Listing out{{"id", "task", "description"}, {}, Json::array()};
  for (const std::string& id : catalogue.stack_ids()) {
    const hwmodels::Stack stack = catalogue.stack(id, "");
    out.rows.push_back({id, stack.task, stack.description});
    out.json.push_back(Json{{"id", id}, {"task", stack.task}, {"description", stack.description}});
  }
  return out;
}

Listing list_prices(const hwmodels::Catalogue& catalogue) {
  Listing out{{"accelerator", "kind", "date", "USD", "basis", "mark", "source"}, {}, Json::array()};
  const hwmodels::PriceBook book = catalogue.prices();
  const auto add = [&](const char* kind, const auto& entry, double usd, const std::string& basis) {
    out.rows.push_back({entry.accelerator, kind, entry.date, fmt::format("{:g}", usd), basis,
                        std::string(to_string(entry.source.mark)), entry.source.text});
    out.json.push_back(Json{{"accelerator", entry.accelerator},
                            {"kind", kind},
                            {"date", entry.date},
                            {"usd", usd},
                            {"basis", basis},
                            {"mark", to_string(entry.source.mark)},
                            {"source", entry.source.text}});
  };
  for (const auto& entry : book.rental) {
    add("rental/h", entry, entry.usd_per_accelerator_hour, entry.provider + ", " + entry.basis);
  }
  for (const auto& entry : book.ownership) {
    add("owned/h", entry, entry.usd_per_accelerator_hour, entry.provider + ", " + entry.basis);
  }
  for (const auto& entry : book.purchase) {
    add("purchase", entry, entry.usd_per_accelerator, entry.basis);
  }
  return out;
}

Listing list_claims(const hwmodels::Catalogue& catalogue) {
  Listing out{{"id", "verdict", "claim"}, {}, Json::array()};
  for (const hwmodels::Claim& claim : catalogue.claims().claims) {
    out.rows.push_back({claim.id, claim.verdict, claim.claim});
    out.json.push_back(Json{{"id", claim.id}, {"verdict", claim.verdict}, {"claim", claim.claim}});
  }
  return out;
}

Listing list_acceptance() {
  Listing out{{"id", "method", "tokens per step with 1, 2 ... drafts", "what"}, {}, Json::array()};
  for (const workloads::AcceptanceCurve& curve : workloads::acceptance_curves()) {
    std::string lengths;
    for (const double tokens : curve.measured_tokens_per_step) {
      lengths += fmt::format("{}{:.2f}", lengths.empty() ? "" : " ", tokens);
    }
    out.rows.push_back({curve.id, curve.method, lengths, curve.name});
    out.json.push_back(Json{{"id", curve.id},
                            {"name", curve.name},
                            {"method", curve.method},
                            {"acceptance", curve.acceptance},
                            {"measured_tokens_per_step", curve.measured_tokens_per_step},
                            {"mark", to_string(curve.source.mark)},
                            {"source", curve.source.text}});
  }
  return out;
}

Listing listing(const std::string& kind, const hwmodels::Catalogue& catalogue) {
  if (kind == "models") return list_models();
  if (kind == "hardware") return list_hardware(catalogue);
  if (kind == "stacks") return list_stacks(catalogue);
  if (kind == "prices") return list_prices(catalogue);
  if (kind == "claims") return list_claims(catalogue);
  if (kind == "acceptance") return list_acceptance();
  const std::vector<std::string> kinds{"models", "hardware", "stacks",
                                       "prices", "claims",   "acceptance"};
  throw Error(ErrorKind::usage, "list", "unknown kind '" + kind + "'", did_you_mean(kind, kinds));
}

}  // namespace

int list_verb(const Options& options) {
  if (options.inputs.size() != 1) {
    throw Error(ErrorKind::usage, "list", "one kind is expected",
                "models, hardware, stacks, prices, claims or acceptance");
  }
  const hwmodels::Catalogue catalogue;
  std::optional<OutputFile> json;
  if (options.json) json.emplace("--json", *options.json);
  const Listing list = listing(options.inputs.front(), catalogue);
  if (json) json->write(dump(list.json));
  if (options.ids_only) {
    std::string ids;
    for (const auto& row : list.rows) ids += row.front() + "\n";
    print(ids);
  } else if (!options.json || *options.json != "-") {
    const bool numeric = options.inputs.front() == "hardware";
    reports::TextTable table(list.keys, numeric ? 2 : list.keys.size());
    for (const auto& row : list.rows) table.row(row);
    print(table.text(""));
  }
  return 0;
}

int schema_verb(const Options& options) {
  if (options.inputs.empty()) {
    std::string names;
    for (const std::string& name : reports::schema_names()) names += name + "\n";
    print(names);
    return 0;
  }
  if (options.inputs.size() > 1) {
    throw Error(ErrorKind::usage, "schema", "one name is expected");
  }
  try {
    print(reports::schema(options.inputs.front()));
  } catch (const Error& error) {
    throw Error(ErrorKind::usage, error.where(), error.message(), error.hint());
  }
  return 0;
}

}  // namespace jevons::cli
