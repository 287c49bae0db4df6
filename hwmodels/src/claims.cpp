// Reads the claims file (schema jevons.claims/1).
#include "jevons/hwmodels/claims.hpp"

#include "parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/hwmodels/catalogue.hpp"

#include <nlohmann/json.hpp>

namespace jevons::hwmodels {
namespace {

std::vector<std::string> strings(ObjectReader& object, std::string_view key) {
  std::vector<std::string> list;
  const Json* value = object.raw(key);
  if (value == nullptr) return list;
  for (const Json& item : *value) list.push_back(item.get<std::string>());
  return list;
}

Claim read_claim(ObjectReader& entry) {
  Claim claim;
  claim.id = entry.string("id");
  claim.claim = entry.string("claim");
  claim.truth = entry.string("truth");
  claim.verdict = entry.string("verdict");
  claim.sections = strings(entry, "essay_sections");
  claim.sources = strings(entry, "truth_sources");
  claim.mark = mark_from_string(entry.string("mark"), entry.where("mark"));
  entry.ignore("essay_footnotes");
  ObjectReader experiment = entry.object("experiment");
  claim.experiment_kind = experiment.string("kind");
  claim.experiment_json = experiment.value().dump();
  entry.finish();
  return claim;
}

}  // namespace

Claims Catalogue::claims() const {
  const DataDocument& document = embedded_document("claims/essay.json");
  ObjectReader object(document.json, document.file);
  check_schema(object, "jevons.claims/1", true);
  Claims claims;
  ObjectReader essay = object.object("essay");
  claims.title = essay.string("title");
  claims.date = essay.string("date");
  for (const auto& [id, meaning] : object.object("verdicts").value().items()) {
    claims.verdicts.emplace(id, meaning.get<std::string>());
  }
  const Json* list = object.raw("claims");
  if (list == nullptr) throw bad_input(object.where(), "missing key 'claims'");
  for (std::size_t i = 0; i < list->size(); ++i) {
    ObjectReader entry((*list)[i], document.file, "/claims/" + std::to_string(i));
    claims.claims.push_back(read_claim(entry));
  }
  claims.not_in_the_essay = strings(object, "not_in_the_essay");
  for (const char* known : {"test_bench", "experiment_kinds", "expression"}) object.ignore(known);
  object.finish();
  return claims;
}

}  // namespace jevons::hwmodels
