#include "ops/op_work.h"

#include <utility>

namespace sightline {
namespace {

// ---- what all counts are made of ------------------------------------------------------------------------------------

constexpr int64_t word = sizeof(float);
constexpr int64_t none = OpWork::no_dimension;

OpWork work_on_bytes(int64_t flops, int64_t bytes, int64_t d0, int64_t d1 = none, int64_t d2 = none) {
  return {.flops = flops, .bf16_flops = 0, .bytes = bytes, .shape = {d0, d1, d2, none}};
}

/** Work on `words` numbers of four bytes. */
OpWork work(int64_t flops, int64_t words, int64_t d0, int64_t d1 = none, int64_t d2 = none) {
  return work_on_bytes(flops, words * word, d0, d1, d2);
}

/** An op that does the same to every element. @param arrays  how many arrays of `count` elements of `type` are read or written */
OpWork elementwise(int64_t count, int64_t flops_per_element, int64_t arrays, DType type = DType::f32) {
  return work_on_bytes(flops_per_element * count, arrays * count * size_of(type), count);
}

// ---- products -------------------------------------------------------------------------------------------------------

/** Work whose FLOPs are products at this precision. */
OpWork product_work(Precision precision, int64_t flops, int64_t bytes, int64_t m, int64_t n, int64_t k) {
  OpWork result = work_on_bytes(flops, bytes, m, n, k);
  if (precision == Precision::bf16) std::swap(result.flops, result.bf16_flops);
  return result;
}

/** Bytes of a packed (K, N) matrix, without the padding of its edges. */
int64_t packed_bytes(Precision precision, int64_t k, int64_t n) { return k * n * word / elements_per_word(precision); }

OpWork count(const MatmulArgs& a) {
  const int64_t result = a.m * a.n, c = result * size_of(a.c.type);
  const int64_t b = a.packed_b ? packed_bytes(a.precision, a.k, a.n) : a.k * a.n * size_of(a.b.type);
  const int64_t extra = (a.accumulate ? c : 0) + (a.addend ? result * size_of(a.addend.type) : 0) + (a.bias ? a.n * word : 0);
  return product_work(a.precision, 2 * result * a.k, a.m * a.k * size_of(a.a.type) + b + c + extra, a.m, a.n, a.k);
}

OpWork count(const PackMatrixArgs& a) {
  return work_on_bytes(0, a.k * a.n * size_of(a.b.type) + packed_bytes(a.precision, a.k, a.n), a.k, a.n);
}

/** Patches (rows) and pixels of a patch (elements) of both directions. */
template <class Args>
struct Patches {
  Patches(const Args& a, bool bias, bool class_token)
      : rows(a.images * (a.rows_per_image() - class_token)),
        elements(a.channels * a.patch_size * a.patch_size),
        added(a.columns * (bias + class_token + a.rows_per_image())),
        results(a.images * a.rows_per_image() * a.columns) {}
  int64_t rows, elements;
  /** Numbers of bias, class token and position; and of y. */
  int64_t added, results;
};

OpWork count(const PatchEmbedArgs& a) {
  const Patches p(a, a.bias, a.class_token);
  const int64_t fp32 = p.rows * p.elements + p.added + p.results;
  return product_work(a.precision, 2 * p.rows * p.elements * a.columns,
                      fp32 * word + a.columns * p.elements * size_of(a.weight.type), p.rows, a.columns, p.elements);
}

OpWork count(const PatchEmbedBackwardArgs& a) {
  const Patches p(a, a.dbias, a.dclass_token);
  const int64_t gradients = a.columns * p.elements + p.added;
  return product_work(a.precision, 2 * p.rows * p.elements * a.columns,
                      (p.rows * p.elements + 2 * gradients + p.results) * word, p.rows, a.columns, p.elements);
}

// The softmax costs a few operations per logit, the product two per logit and column: only the product counts.

OpWork count(const LinearLogProbArgs& a) {
  const int64_t x = a.rows * a.columns * size_of(a.x.type), weight = packed_bytes(a.precision, a.columns, a.vocabulary);
  const int64_t rows = a.rows * (a.entropies ? 3 : 2) * word;  // targets, log-probs, entropies
  return product_work(a.precision, 2 * a.rows * a.columns * a.vocabulary, x + weight + rows, a.rows, a.vocabulary, a.columns);
}

OpWork count(const LinearLogProbBackwardArgs& a) {
  // The logits again, dx, and dweight unless frozen.
  const int64_t products = a.dweight ? 3 : 2, gradient = a.dweight ? 2 * a.columns * a.vocabulary * word : 0;
  const int64_t weights = 2 * packed_bytes(a.precision, a.columns, a.vocabulary);
  const int64_t x_and_dx = a.rows * a.columns * (size_of(a.x.type) + size_of(a.dx.type));
  const int64_t rows = a.rows * (a.dentropies ? 3 : 2) * word;
  return product_work(a.precision, products * 2 * a.rows * a.columns * a.vocabulary, x_and_dx + weights + gradient + rows,
                      a.rows, a.vocabulary, a.columns);
}

// ---- attention ------------------------------------------------------------------------------------------------------

/** Rows of all segments, those of them that are queries, and pairs of a query and a key that it sees. */
template <class Args>
struct Pairs {
  explicit Pairs(const Args& a) {
    for (int64_t i = 0; i < a.segment_count; ++i) {
      const int64_t length = a.segments[3 * i + 1], prefix = a.segments[3 * i + 2];
      const int64_t before = prefix < 0 ? 0 : a.segments[3 * prefix + 1];
      const int64_t first = a.first_queries ? a.first_queries[i] : 0;
      rows += length;
      queries += length - first;
      pairs += a.causal ? (length - first) * before + (length * (length + 1) - first * (first + 1)) / 2
                        : (length - first) * length;
    }
  }
  int64_t rows = 0, queries = 0, pairs = 0;
};

/** Work of attention: products of what is stored as `type`, as those of matrices are. */
OpWork attention_work(DType type, int64_t flops, int64_t elements, int64_t sums, int64_t rows, int64_t heads, int64_t head_size) {
  OpWork result = work_on_bytes(flops, elements * size_of(type) + sums * word, rows, heads, head_size);
  if (type == DType::bf16) std::swap(result.flops, result.bf16_flops);
  return result;
}

OpWork count(const AttentionArgs& a) {
  const Pairs seen(a);
  const int64_t q = a.heads * a.head_size, kv = 2 * a.kv_heads * a.head_size;
  // q . k and weight * v; reads q, k and v, writes out and the log-sums.
  return attention_work(a.qkv.type, 4 * seen.pairs * q, seen.rows * kv + seen.queries * 2 * q, seen.queries * a.heads, seen.rows,
                        a.heads, a.head_size);
}

OpWork count(const AttentionBackwardArgs& a) {
  const Pairs seen(a);
  const int64_t q = a.heads * a.head_size, kv = 2 * a.kv_heads * a.head_size;
  // Five products: q . k again, dout . v, dq, dk, dv; reads q, k, v, out, dout and the log-sums, writes all of dqkv.
  return attention_work(a.qkv.type, 10 * seen.pairs * q, seen.rows * (kv + q + kv) + seen.queries * 3 * q, seen.queries * a.heads,
                        seen.rows, a.heads, a.head_size);
}

OpWork count(const AttentionDecodeArgs& a) {
  int64_t keys = 0;
  for (int64_t row = 0; row < a.rows; ++row) keys += a.lengths[row];
  const int64_t q = a.heads * a.head_size, kv = 2 * a.kv_heads * a.head_size;
  return attention_work(a.qkv.type, 4 * keys * q, keys * kv + 2 * a.rows * q, a.rows, a.rows, a.heads, a.head_size);
}

OpWork count(const KvWriteArgs& a) {
  return work_on_bytes(0, 4 * a.rows * a.kv_heads * a.head_size * size_of(a.qkv.type) + a.rows * word, a.rows, a.kv_heads, a.head_size);
}

// ---- rows -----------------------------------------------------------------------------------------------------------

/** Rows of `ids` that are tokens, not image features. */
int64_t token_rows(const int32_t* ids, int64_t rows) {
  int64_t tokens = 0;
  for (int64_t row = 0; row < rows; ++row) tokens += ids[row] >= 0;
  return tokens;
}

OpWork count(const EmbedArgs& a) {
  const int64_t tokens = token_rows(a.ids, a.rows), features = a.rows - tokens;
  const int64_t read = (tokens * size_of(a.table.type) + features * size_of(a.features.type)) * a.columns;
  return work_on_bytes(tokens * a.columns, read + a.rows * (a.columns + 1) * word, a.rows, a.columns);
}

OpWork count(const EmbedBackwardArgs& a) {
  const int64_t tokens = a.dtable ? token_rows(a.ids, a.rows) : 0;
  const int64_t features = a.dfeatures ? a.rows - token_rows(a.ids, a.rows) : 0;
  const int64_t gradients = (tokens * size_of(DType::f32) + features * size_of(a.dfeatures.type)) * a.columns;
  const int64_t read = ((tokens + features) * a.columns + a.rows) * word;
  return work_on_bytes((2 * tokens + features) * a.columns, read + 2 * gradients, a.rows, a.columns);
}

OpWork count(const LayerNormArgs& a) {
  // Mean 1, centred squares 3, normalised 1, weight and bias 2.
  const int64_t elements = a.rows * a.columns, fp32 = elements + 2 * a.rows + 2 * a.columns;
  return work_on_bytes(7 * elements, fp32 * word + elements * size_of(a.y.type), a.rows, a.columns);
}

OpWork count(const LayerNormBackwardArgs& a) {
  // h 2, g 1, their two means 3, dx 5; dweight 2, dbias 1.
  const int64_t flops = a.dweight ? 14 : 11, parameters = a.dweight ? 5 : 1;
  const int64_t elements = a.rows * a.columns, fp32 = 3 * elements + 2 * a.rows + parameters * a.columns;
  return work_on_bytes(flops * elements, fp32 * word + elements * size_of(a.dy.type), a.rows, a.columns);
}

OpWork count(const RmsNormArgs& a) {
  const int64_t elements = a.rows * a.columns, fp32 = elements + a.rows + a.columns;
  return work_on_bytes(4 * elements, fp32 * word + elements * size_of(a.y.type), a.rows, a.columns);
}

OpWork count(const RmsNormBackwardArgs& a) {
  // h 1, g 1, mean 2, dx 4; dweight 2.
  const int64_t flops = a.dweight ? 10 : 8, parameters = a.dweight ? 3 : 1;
  const int64_t elements = a.rows * a.columns, fp32 = 3 * elements + a.rows + parameters * a.columns;
  return work_on_bytes(flops * elements, fp32 * word + elements * size_of(a.dy.type), a.rows, a.columns);
}

OpWork count(const RopeArgs& a) {
  const int64_t elements = a.rows * a.heads * a.head_size;
  return work_on_bytes(3 * elements, 2 * elements * size_of(a.x.type) + a.rows * a.axes * word, a.rows, a.heads, a.head_size);
}

OpWork count(const SwigluArgs& a) {
  const int64_t elements = a.rows * a.width;
  return work_on_bytes(4 * elements, 3 * elements * size_of(a.y.type), a.rows, a.width);
}

OpWork count(const SwigluBackwardArgs& a) {
  // The sigmoid 3, silu 1, dup 1, silu' 4, dgate 2.
  const int64_t elements = a.rows * a.width;
  return work_on_bytes(11 * elements, 5 * elements * size_of(a.dy.type), a.rows, a.width);
}

OpWork count(const DropoutArgs& a) {
  // The product and, where y is added to, the sum; keys and position of a row are three words.
  const int64_t elements = a.rows * a.columns, arrays = a.accumulate ? 3 : 2;
  return work_on_bytes((arrays - 1) * elements, arrays * elements * size_of(a.y.type) + 3 * a.rows * word, a.rows, a.columns);
}

OpWork count(const SampleArgs& a) {
  // Scaled, centred, exponential, summed; 8 words of settings and results per row.
  return work(4 * a.rows * a.vocabulary, a.rows * (a.vocabulary + 8), a.rows, a.vocabulary);
}

OpWork count(const GatherRowsArgs& a) {
  return work_on_bytes(0, a.count * (2 * a.columns * size_of(a.x.type) + word), a.count, a.columns);
}

OpWork count(const ScatterAddRowsArgs& a) {
  return work_on_bytes(2 * a.count * a.columns, a.count * (3 * a.columns * size_of(a.x.type) + word), a.count, a.columns);
}

OpWork count(const SumRowsArgs& a) {
  return work_on_bytes(a.rows * a.columns, (a.rows * size_of(a.x.type) + 2 * word) * a.columns, a.rows, a.columns);
}

// ---- elements -------------------------------------------------------------------------------------------------------

OpWork count(const GeluArgs& a) { return elementwise(a.count, 9, 2, a.x.type); }
OpWork count(const GeluBackwardArgs& a) { return elementwise(a.count, 17, 3, a.x.type); }
OpWork count(const ReluArgs& a) { return elementwise(a.count, 0, 2, a.x.type); }
OpWork count(const ReluBackwardArgs& a) { return elementwise(a.count, 0, 3, a.y.type); }
OpWork count(const AddArgs& a) { return elementwise(a.count, 1, 3, a.x.type); }
int64_t elements_of(const int64_t* counts, int64_t tensors) {
  int64_t elements = 0;
  for (int64_t tensor = 0; tensor < tensors; ++tensor) elements += counts[tensor];
  return elements;
}

OpWork count(const SumSquaresArgs& a) { return elementwise(elements_of(a.counts, a.tensors), 2, 1); }
// g 1, m 3, v 4, the step 9; parameter, gradient and moments are read and written.
OpWork count(const AdamwArgs& a) { return elementwise(elements_of(a.counts, a.tensors), 17, 8); }

}  // namespace

const char* op_name(Op op) {
#define SIGHTLINE_NAME(name, Args) #name,
  static constexpr const char* names[] = {SIGHTLINE_OPS(SIGHTLINE_NAME)};
#undef SIGHTLINE_NAME
  return names[static_cast<int>(op)];
}

// An op without a count above does not compile here.
#define SIGHTLINE_WORK(name, Args) \
  OpWork work_of(const Args& args) { return count(args); }
SIGHTLINE_OPS(SIGHTLINE_WORK)
#undef SIGHTLINE_WORK

}  // namespace sightline
