// show: one entry of the catalogue with every source.
#include "output.hpp"
#include "results.hpp"
#include "show_routing.hpp"
#include "verbs.hpp"

#include "jevons/core/error.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/reports/format.hpp"
#include "jevons/workloads/model.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace jevons::cli {
namespace {

/// Rows of name, value, mark, source: as a table and as JSON.
struct Sheet {
  std::string title;
  struct Line {
    std::string name, value, mark, source, note;
    Json json;
  };
  std::vector<Line> lines;

  void add(std::string name, std::string value, Json json, const Source* source = nullptr,
           std::string note = {}) {
    lines.push_back({std::move(name), std::move(value),
                     source != nullptr ? std::string(to_string(source->mark)) : "",
                     source != nullptr ? source->text : "", std::move(note), std::move(json)});
  }
  [[nodiscard]] std::string text() const {
    reports::TextTable table({"", "", "", ""}, 4);
    for (const Line& line : lines) {
      table.row({line.name, line.value, line.mark,
                 line.source + (line.note.empty() ? "" : " [" + line.note + "]")});
    }
    return reports::printable(title) + "\n" + table.text();
  }
  [[nodiscard]] Json json() const {
    Json out = Json::object();
    for (const Line& line : lines) {
      if (line.mark.empty()) {
        out[line.name] = line.json;
        continue;
      }
      out[line.name] = Json{{"value", line.json}, {"source", line.source}, {"mark", line.mark}};
      if (!line.note.empty()) out[line.name]["note"] = line.note;
    }
    return out;
  }
};

std::string figure_text(const std::string& name, double value) {
  if (name.ends_with("ops_per_s")) return reports::with_prefix(value, "OP/s");
  if (name.ends_with("_hz")) return reports::with_prefix(value, "Hz");
  return reports::format_metric(name, value);
}

Sheet show_hardware(const hwmodels::Catalogue& catalogue, const std::string& id) {
  const hwmodels::Accelerator sku = catalogue.accelerator(id, "show hardware");
  Sheet sheet{sku.name + " (" + sku.id + ", " + sku.vendor + ", class " + sku.generation + ")", {}};
  for (const auto& [name, figure] : sku.figures) {
    if (figure.value) {
      sheet.add(name, figure_text(name, *figure.value), *figure.value, &figure.source, figure.note);
    } else if (!figure.text.empty()) {
      sheet.add(name, figure.text, figure.text, &figure.source, figure.note);
    } else if (!figure.values.empty()) {
      std::string list;
      for (const double value : figure.values)
        list += (list.empty() ? "" : ", ") + fmt::format("{:g}", value);
      sheet.add(name, list, figure.values, &figure.source, figure.note);
    } else {
      sheet.add(name, "none", nullptr, &figure.source, figure.note);
    }
  }
  for (const auto& [name, constant] : sku.constants.all()) {
    sheet.add("constant " + name, fmt::format("{:g}", constant.value), constant.value,
              &constant.source, constant.note);
  }
  return sheet;
}

Sheet show_model(const std::string& id) {
  const workloads::ModelConfig model = workloads::model(id, "show model");
  const workloads::ModelCounts counts = workloads::count(model);
  Sheet sheet{model.name + " (" + model.id + ")", {}};
  const auto number = [&](const char* name, double value, std::string_view unit = "") {
    sheet.add(name, reports::with_prefix(value, unit), value);
  };
  sheet.add("model_type", model.model_type, model.model_type);
  number("hidden", static_cast<double>(model.hidden));
  number("vocab", static_cast<double>(model.vocab));
  number("layers", static_cast<double>(model.layers.size()));
  number("mtp_modules", static_cast<double>(model.mtp_modules));
  number("parameters_total", counts.parameters_total);
  number("parameters_active", counts.parameters_active);
  number("router_parameters", counts.router_parameters);
  number("mtp_parameters", counts.mtp_parameters);
  number("kv_bytes_per_token_bf16", workloads::kv_bytes_per_token(model, {Format::bf16}), "B");
  for (const double sequence : {4096.0, 32768.0, 131072.0}) {
    if (model.max_positions > 0 && sequence > static_cast<double>(model.max_positions)) continue;
    const auto flops = workloads::training_flops_per_token(model, sequence, model.mtp_modules > 0);
    number(fmt::format("training_flops_per_token_at_{:.0f}", sequence).c_str(), flops.causal,
           "FLOP");
  }
  sheet.add("source", model.source.text, model.source.text, &model.source);
  return sheet;
}

Sheet show_stack(const hwmodels::Catalogue& catalogue, const std::string& id) {
  const hwmodels::Stack stack = catalogue.stack(id, "show stack");
  Sheet sheet{stack.name + " (" + stack.id + "): " + stack.description, {}};
  const std::vector<hwmodels::StackConstant> meanings = hwmodels::stack_constants();
  for (const auto& [name, constant] : stack.constants.all()) {
    std::string meaning;
    for (const hwmodels::StackConstant& entry : meanings) {
      if (entry.name == name) meaning = entry.meaning;
    }
    const bool own = std::find(stack.own_constants.begin(), stack.own_constants.end(), name) !=
                     stack.own_constants.end();
    sheet.add(name, fmt::format("{:g}", constant.value) + (own ? "" : " (default)"), constant.value,
              &constant.source, meaning);
  }
  return sheet;
}

Sheet show_price(const hwmodels::Catalogue& catalogue, const std::string& id) {
  Sheet sheet{"Prices of " + id, {}};
  const hwmodels::PriceBook book = catalogue.prices();
  const auto rates = [&](const char* kind, const std::vector<hwmodels::RentalPrice>& list) {
    for (const hwmodels::RentalPrice& entry : list) {
      if (entry.accelerator != id) continue;
      sheet.add(fmt::format("{} {} {} {}", kind, entry.date, entry.provider, entry.basis),
                fmt::format("${:g}/h", entry.usd_per_accelerator_hour),
                entry.usd_per_accelerator_hour, &entry.source, entry.note);
    }
  };
  rates("rental", book.rental);
  rates("owned", book.ownership);
  for (const hwmodels::PurchasePrice& entry : book.purchase) {
    if (entry.accelerator != id) continue;
    sheet.add(fmt::format("purchase {} {}", entry.date, entry.basis),
              reports::format_usd(entry.usd_per_accelerator), entry.usd_per_accelerator,
              &entry.source, entry.note);
  }
  if (const auto found = book.figures.find(id); found != book.figures.end()) {
    sheet.add(id, fmt::format("{:g}", found->second.value), found->second.value,
              &found->second.source, found->second.note);
  }
  if (sheet.lines.empty()) {
    std::vector<std::string> names = catalogue.accelerator_ids();
    for (const auto& [name, unused] : book.figures) names.push_back(name);
    const std::vector<std::string> near = nearest(id, names);
    throw bad_input("show price", "no price of '" + id + "' is known",
                    near.empty() ? "" : did_you_mean(id, names));
  }
  return sheet;
}

Sheet show_claim(const hwmodels::Catalogue& catalogue, const std::string& id) {
  std::vector<std::string> ids;
  for (const hwmodels::Claim& claim : catalogue.claims().claims) {
    ids.push_back(claim.id);
    if (claim.id != id) continue;
    Sheet sheet{claim.id, {}};
    sheet.add("claim", claim.claim, claim.claim);
    sheet.add("truth", claim.truth, claim.truth);
    sheet.add("verdict", claim.verdict, claim.verdict);
    for (const std::string& source : claim.sources) sheet.add("source", source, source);
    return sheet;
  }
  throw bad_input("show claim", "unknown claim '" + id + "'", did_you_mean(id, ids));
}

}  // namespace

int show_verb(const Options& options) {
  if (options.inputs.size() != 2) {
    throw Error(ErrorKind::usage, "show", "expected KIND ID",
                "for example: jevons show hardware h100-sxm");
  }
  const hwmodels::Catalogue catalogue;
  const std::string& kind = options.inputs[0];
  const std::string& id = options.inputs[1];
  std::optional<OutputFile> json;
  if (options.json) json.emplace("--json", *options.json);
  if (kind == "routing") {
    const auto [text, routing] = show_routing(id);
    if (json) json->write(dump(routing));
    if (!options.json || *options.json != "-") print(text);
    return 0;
  }
  Sheet sheet;
  if (kind == "hardware") {
    sheet = show_hardware(catalogue, id);
  } else if (kind == "model") {
    sheet = show_model(id);
  } else if (kind == "stack") {
    sheet = show_stack(catalogue, id);
  } else if (kind == "price") {
    sheet = show_price(catalogue, id);
  } else if (kind == "claim") {
    sheet = show_claim(catalogue, id);
  } else {
    const std::vector<std::string> kinds{"hardware", "model", "stack", "price", "claim", "routing"};
    throw Error(ErrorKind::usage, "show", "unknown kind '" + kind + "'", did_you_mean(kind, kinds));
  }
  if (json) json->write(dump(sheet.json()));
  if (!options.json || *options.json != "-") print(sheet.text());
  return 0;
}

}  // namespace jevons::cli
