// Decoding with the whole toy model: plain, and with MTP drafts verified.
//
// Greedy (no random numbers): the likeliest token, drafts kept while they are the model's own.
// Sampling: tokens from p = softmax(logits), drafts from the MTP module's q, kept and replaced by
// the rule of speculation.hpp, so that the text has the distribution of plain sampling.
#include "jevons/reference/elementwise.hpp"
#include "jevons/reference/model.hpp"
#include "jevons/reference/speculation.hpp"

namespace jevons::reference {
namespace {

/// Chances of the next token after row `row`.
template <class T>
Distribution chances(const Model<T>& model, const Matrix<T>& hidden, long row) {
  Matrix<T> logits = model.logits(slice_rows(hidden, row, 1));
  softmax_rows(logits);
  return {logits.row(0), logits.row(0) + logits.cols()};
}

long choose(const Distribution& p, std::mt19937_64* random) {
  return random == nullptr ? argmax(p) : sample(p, *random);
}

}  // namespace

template <class T>
Generated generate(const Model<T>& model, const std::vector<long>& prompt, long count,
                   std::mt19937_64* random) {
  Generated out;
  Cache<T> cache;
  Matrix<T> h = model.hidden(prompt, cache, MlaMode::expanded);
  while (static_cast<long>(out.tokens.size()) < count) {
    const long next = choose(chances(model, h, h.rows() - 1), random);
    out.tokens.push_back(next);
    h = model.hidden({next}, cache, MlaMode::absorbed);
    ++out.steps;
  }
  return out;
}

template <class T>
Generated generate_with_mtp(const Model<T>& model, const std::vector<long>& prompt, long count,
                            std::mt19937_64* random) {
  Generated out;
  Cache<T> cache, draft_cache;
  Matrix<T> h = model.hidden(prompt, cache, MlaMode::expanded);
  // Hidden states whose next token is known wait for the MTP module; the last one waits for `next`.
  std::vector<long> known(prompt.begin() + 1, prompt.end());
  long next = choose(chances(model, h, h.rows() - 1), random);
  out.tokens.push_back(next);
  while (static_cast<long>(out.tokens.size()) < count) {
    known.push_back(next);
    const Matrix<T> m = model.mtp_hidden(0, h, known, draft_cache, MlaMode::absorbed);
    const Distribution q = chances(model, m, m.rows() - 1);
    const long draft = choose(q, random);
    const long seen = cache.length();
    h = model.hidden({next, draft}, cache, MlaMode::absorbed);
    const std::vector<Distribution> p{chances(model, h, 0), chances(model, h, 1)};
    const Verified v =
        random == nullptr ? verify_greedy({draft}, p) : verify_sampling({draft}, {q}, p, *random);
    ++out.steps;
    ++out.drafted;
    out.accepted += v.accepted;
    out.tokens.insert(out.tokens.end(), v.tokens.begin(), v.tokens.end());
    cache.truncate(seen + 1 + v.accepted);
    h = slice_rows(h, 0, 1 + v.accepted);
    known.assign(v.tokens.begin(), v.tokens.end() - 1);
    next = v.tokens.back();
  }
  out.tokens.resize(static_cast<std::size_t>(count));
  return out;
}

#define JEVONS_INSTANTIATE(T)                                                                     \
  template Generated generate(const Model<T>&, const std::vector<long>&, long, std::mt19937_64*); \
  template Generated generate_with_mtp(const Model<T>&, const std::vector<long>&, long,           \
                                       std::mt19937_64*);
JEVONS_INSTANTIATE(float)
JEVONS_INSTANTIATE(double)
#undef JEVONS_INSTANTIATE

}  // namespace jevons::reference
