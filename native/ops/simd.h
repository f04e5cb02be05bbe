#pragma once

// Vectors of the width that the path being compiled has: 16 floats (AVX-512, with or without its bfloat16 instructions), 8
// (AVX2), 4 (anything else). Op sources are written once against these few functions. Included by op sources only, each of which is compiled once per path.

#include <cstdint>
#include <cstring>
#include <utility>

#include "core/elements.h"
#include "core/isa.h"

#if defined(SIGHTLINE_AVX512) || defined(SIGHTLINE_AVX2)
#include <immintrin.h>
#endif

namespace sightline::SIGHTLINE_ISA {

/** The path being compiled. */
inline constexpr Isa this_isa = Isa::SIGHTLINE_ISA;

#if defined(SIGHTLINE_AVX512)
inline constexpr int lanes = 16;
#elif defined(SIGHTLINE_AVX2)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif

typedef float Vec __attribute__((vector_size(lanes * 4)));
typedef int32_t IntVec __attribute__((vector_size(lanes * 4)));

inline Vec broadcast(float value) { return value - Vec{}; }
inline Vec zero() { return Vec{}; }
/** The 32 bits at `from` in every lane, whatever they stand for. */
inline Vec broadcast_word(const void* from) {
  int32_t word;
  __builtin_memcpy(&word, from, sizeof(word));
  return (Vec)(IntVec{} + word);
}

inline Vec load(const float* from) {
  Vec v;
  __builtin_memcpy(&v, from, sizeof(v));
  return v;
}
inline void store(float* to, Vec v) { __builtin_memcpy(to, &v, sizeof(v)); }

/** The first `count` lanes, zero in the others; 0 <= count <= lanes. */
inline Vec load_partial(const float* from, int64_t count) {
#if defined(SIGHTLINE_AVX512)
  return (Vec)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
#else
  Vec v{};
  for (int64_t i = 0; i < count; ++i) v[i] = from[i];
  return v;
#endif
}
inline void store_partial(float* to, Vec v, int64_t count) {
#if defined(SIGHTLINE_AVX512)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), (__m512)v);
#else
  for (int64_t i = 0; i < count; ++i) to[i] = v[i];
#endif
}

/**
 * Stores past the caches: for results that are too large to be found there again, this saves reading the memory that they
 * overwrite. `to` is aligned to the vector; `finish_streaming` comes before another thread may read.
 */
inline void stream(float* to, Vec v) {
#if defined(SIGHTLINE_AVX512)
  _mm512_stream_ps(to, (__m512)v);
#elif defined(SIGHTLINE_AVX2)
  _mm256_stream_ps(to, (__m256)v);
#else
  store(to, v);
#endif
}
inline void finish_streaming() {
#if defined(SIGHTLINE_AVX512) || defined(SIGHTLINE_AVX2)
  _mm_sfence();
#endif
}

/** How many lanes of a vector count: all of them, or the first `count`, where a row ends inside it. */
struct Whole {};
struct Part {
  int64_t count;
};
inline Vec load(const float* from, Whole) { return load(from); }
inline Vec load(const float* from, Part part) { return load_partial(from, part.count); }
inline void store(float* to, Vec v, Whole) { store(to, v); }
inline void store(float* to, Vec v, Part part) { store_partial(to, v, part.count); }
/** v with zero in the lanes that do not count. */
inline Vec keep(Vec v, Whole) { return v; }
inline Vec keep(Vec v, Part part) {
#if defined(SIGHTLINE_AVX512)
  return (Vec)_mm512_maskz_mov_ps(static_cast<__mmask16>((1u << part.count) - 1), (__m512)v);
#else
  for (int64_t i = part.count; i < lanes; ++i) v[i] = 0.0f;
  return v;
#endif
}

/** Calls body(i, n) for the vectors of [0, count) in order: i is the first element, n Whole or, last, Part. */
template <class Body>
inline void for_vectors(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, Whole{});
  if (i < count) body(i, Part{count - i});
}

/** a * b + c; rounded once on the paths that have the instruction, twice on the portable one. */
inline Vec fma(Vec a, Vec b, Vec c) {
#if defined(SIGHTLINE_AVX512)
  return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(SIGHTLINE_AVX2)
  return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

inline Vec sqrt(Vec v) {
#if defined(SIGHTLINE_AVX512)
  // Not _mm512_sqrt_ps, whose header makes GCC warn of an uninitialised value.
  return (Vec)_mm512_maskz_sqrt_ps(static_cast<__mmask16>(0xffff), (__m512)v);
#elif defined(SIGHTLINE_AVX2)
  return (Vec)_mm256_sqrt_ps((__m256)v);
#else
  for (int i = 0; i < lanes; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

// ---- pairs of bfloat16 -----------------------------------------------------------------------------------------------
// A word holds two neighbours along the depth of a matrix product as bfloat16, the first in its lower half. Vectors of
// words are kept as Vec; they are only loaded, stored, broadcast and multiplied.

/** The bits of bfloat16(v) in the upper half of each lane, lower half zero. Round to nearest even; NaN stays NaN. */
inline IntVec rounded_upper_half(Vec v) {
  const IntVec bits = (IntVec)v;
  const IntVec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & static_cast<int32_t>(0xffff0000);
  return v == v ? rounded : (bits | 0x00400000) & static_cast<int32_t>(0xffff0000);
}
inline IntVec shifted_down(IntVec upper_halves) { return (upper_halves >> 16) & 0xffff; }

/** Word i: the pair (first[i], second[i]). */
inline Vec interleaved_pairs(Vec first, Vec second) {
#if defined(SIGHTLINE_AVX512_BF16)
  typedef int16_t Halves __attribute__((vector_size(64)));
  const Halves halves = (Halves)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  return (Vec)__builtin_shufflevector(halves, halves, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10,
                                      26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#else
  return (Vec)(shifted_down(rounded_upper_half(first)) | rounded_upper_half(second));
#endif
}

/** Word i: the pair (x[2 i], x[2 i + 1]) of the 2 * lanes elements x = low, high. */
inline Vec neighbouring_pairs(Vec low, Vec high) {
#if defined(SIGHTLINE_AVX512_BF16)
  return (Vec)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
#elif defined(SIGHTLINE_AVX512)
  return interleaved_pairs(
      __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
      __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31));
#elif defined(SIGHTLINE_AVX2)
  return interleaved_pairs(__builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14),
                           __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15));
#else
  return interleaved_pairs(__builtin_shufflevector(low, high, 0, 2, 4, 6), __builtin_shufflevector(low, high, 1, 3, 5, 7));
#endif
}

/** sum + a.second * b.second + a.first * b.first per word, in this order, rounded to fp32 after each of the two additions. */
inline Vec add_pair_products(Vec a, Vec b, Vec sum) {
#if defined(SIGHTLINE_AVX512_BF16)
  return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
  const auto first = [](Vec words) { return (Vec)((IntVec)words << 16); };
  const auto second = [](Vec words) { return (Vec)((IntVec)words & static_cast<int32_t>(0xffff0000)); };
  return fma(first(a), first(b), fma(second(a), second(b), sum));
#endif
}

// ---- numbers stored as bfloat16 ----------------------------------------------------------------------------------------
// Loaded, they are fp32; stored, they are rounded to nearest even. The functions are those for floats, so that an op is
// written once for both (`with_type`).

#if defined(SIGHTLINE_AVX512)
typedef __m256i HalfVec;
#else
typedef uint16_t HalfVec __attribute__((vector_size(lanes * 2)));
#endif

/** The bits of each half in the lower half of its lane. */
inline IntVec zero_extended(HalfVec halves) {
#if defined(SIGHTLINE_AVX512)
  // Not _mm512_cvtepu16_epi32, whose header makes GCC warn of an uninitialised value.
  return (IntVec)_mm512_maskz_cvtepu16_epi32(static_cast<__mmask16>(0xffff), halves);
#elif defined(SIGHTLINE_AVX2)
  return (IntVec)_mm256_cvtepu16_epi32((__m128i)halves);
#else
  return __builtin_convertvector(halves, IntVec);
#endif
}
inline Vec widened(HalfVec halves) { return (Vec)(zero_extended(halves) << 16); }
inline HalfVec narrowed(Vec v) {
#if defined(SIGHTLINE_AVX512_BF16)
  return (HalfVec)_mm512_cvtneps_pbh((__m512)v);
#elif defined(SIGHTLINE_AVX512)
  // Not _mm512_cvtepi32_epi16, as above.
  return _mm512_maskz_cvtepi32_epi16(static_cast<__mmask16>(0xffff), (__m512i)shifted_down(rounded_upper_half(v)));
#else
  return __builtin_convertvector(shifted_down(rounded_upper_half(v)), HalfVec);
#endif
}

inline HalfVec load_halves(const bf16* from) {
  HalfVec halves;
  __builtin_memcpy(&halves, from, sizeof(halves));
  return halves;
}
/** The first `count` lanes, zero in the others. */
inline HalfVec load_halves_partial(const bf16* from, int64_t count) {
#if defined(SIGHTLINE_AVX512)
  return _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), from);
#else
  HalfVec halves{};
  for (int64_t i = 0; i < count; ++i) halves[i] = from[i].bits;
  return halves;
#endif
}
inline HalfVec load_halves(const bf16* from, Whole) { return load_halves(from); }
inline HalfVec load_halves(const bf16* from, Part part) { return load_halves_partial(from, part.count); }

inline Vec load(const bf16* from) { return widened(load_halves(from)); }
inline void store(bf16* to, Vec v) {
  const HalfVec halves = narrowed(v);
  __builtin_memcpy(to, &halves, sizeof(halves));
}
inline Vec load_partial(const bf16* from, int64_t count) { return widened(load_halves_partial(from, count)); }
inline void store_partial(bf16* to, Vec v, int64_t count) {
#if defined(SIGHTLINE_AVX512)
  _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1), narrowed(v));
#else
  const HalfVec halves = narrowed(v);
  for (int64_t i = 0; i < count; ++i) to[i].bits = halves[i];
#endif
}
inline Vec load(const bf16* from, Whole) { return load(from); }
inline Vec load(const bf16* from, Part part) { return load_partial(from, part.count); }
inline void store(bf16* to, Vec v, Whole) { store(to, v); }
inline void store(bf16* to, Vec v, Part part) { store_partial(to, v, part.count); }

/** Word i: the pair (first[i], second[i]). */
inline Vec interleaved_pairs(HalfVec first, HalfVec second) {
#if defined(SIGHTLINE_AVX512)
  typedef int16_t Sixteen __attribute__((vector_size(32)));
  return (Vec)__builtin_shufflevector((Sixteen)first, (Sixteen)second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8,
                                      24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#else
  return (Vec)(zero_extended(first) | zero_extended(second) << 16);
#endif
}
inline Vec interleaved_pairs(const bf16* first, const bf16* second) {
  HalfVec a, b;
  __builtin_memcpy(&a, first, sizeof(a));
  __builtin_memcpy(&b, second, sizeof(b));
  return interleaved_pairs(a, b);
}

/** The 2 * lanes elements low, high; those of bf16 are one vector. */
inline void store_pair(float* to, Vec low, Vec high) {
  store(to, low);
  store(to + lanes, high);
}
inline void store_pair(bf16* to, Vec low, Vec high) { store(reinterpret_cast<float*>(to), neighbouring_pairs(low, high)); }
/** As `stream`: `to` is aligned to the vector. */
inline void stream_pair(float* to, Vec low, Vec high) {
  stream(to, low);
  stream(to + lanes, high);
}
inline void stream_pair(bf16* to, Vec low, Vec high) { stream(reinterpret_cast<float*>(to), neighbouring_pairs(low, high)); }

/** Calls body(T{}) for the type T, float or bf16, that elements are stored as. */
template <class Body>
inline void with_type(DType type, const Body& body) {
  if (type == DType::bf16)
    body(bf16{});
  else
    body(float{});
}

/** Zero where |v| is below the smallest normal number: arithmetic on subnormals is slow on many CPUs. */
inline Vec flush_subnormal(Vec v) {
  const Vec smallest = broadcast(0x1p-126f);
  return v < smallest && v > -smallest ? zero() : v;
}

inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
inline float max(float a, float b) { return a > b ? a : b; }
inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
/** Blocks of `size` that cover `count`. */
constexpr int64_t blocks_of(int64_t count, int64_t size) { return (count + size - 1) / size; }

/** (a, b)[Index...], where b's lanes follow a's. */
template <int... Index>
inline Vec shuffle(Vec a, Vec b) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, Index...);
#else
  return __builtin_shuffle(a, b, IntVec{Index...});
#endif
}

/** The lanes folded onto the first as a fixed binary tree: lane i meets lane i + 8, then i + 4, ... */
template <int Half = lanes / 2, class Combine>
inline float fold_lanes(Vec v, Combine combine) {
  const Vec upper = [&]<int... I>(std::integer_sequence<int, I...>) {
    return shuffle<(I + Half) % lanes...>(v, v);
  }(std::make_integer_sequence<int, lanes>{});
  if constexpr (Half > 1)
    return fold_lanes<Half / 2>(combine(v, upper), combine);
  else
    return combine(v, upper)[0];
}
inline float sum_lanes(Vec v) {
  return fold_lanes(v, [](Vec a, Vec b) { return a + b; });
}
inline float max_lanes(Vec v) {
  return fold_lanes(v, [](Vec a, Vec b) { return max(a, b); });
}

/** Sum of the vectors term(i, n) over [0, count) in a fixed order: four running sums in turn, then a tree. */
template <class Term>
inline float sum_vectors(int64_t count, Term term) {
  constexpr int sums = 4;
  Vec sum[sums] = {};
  int64_t i = 0;
  for (; i + sums * lanes <= count; i += sums * lanes)
    for (int s = 0; s < sums; ++s) sum[s] += term(i + s * lanes, Whole{});
  for (; i + lanes <= count; i += lanes) sum[0] += term(i, Whole{});
  if (i < count) sum[1] += keep(term(i, Part{count - i}), Part{count - i});
  return sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/**
 * exp(x) with relative error below 2 ulp; 0 below -87.3 (results are never subnormal), infinity above 88.7, NaN for NaN.
 * Cody-Waite reduction to |r| <= ln(2) / 2 and the polynomial of Cephes expf.
 */
inline Vec exp(Vec x) {
#if defined(SIGHTLINE_AVX512)
  const Vec clamped = x;  // what is out of range is replaced in the end
#else
  const Vec clamped = min(max(x, broadcast(-87.3f)), broadcast(88.7f));
#endif
  const Vec shifted = fma(clamped, broadcast(1.44269504f), broadcast(12582912.0f));  // 1.5 * 2^23: rounds to an integer
  const Vec n = shifted - broadcast(12582912.0f);
  Vec r = fma(n, broadcast(-0.693359375f), clamped);
  r = fma(n, broadcast(2.12194440e-4f), r);
  Vec p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = fma(p, r * r, r) + broadcast(1.0f);
#if defined(SIGHTLINE_AVX512)
  const __mmask16 in_reach = _mm512_cmp_ps_mask((__m512)x, (__m512)broadcast(-87.3f), _CMP_NLT_UQ);
  const __mmask16 beyond = _mm512_cmp_ps_mask((__m512)x, (__m512)broadcast(88.7f), _CMP_GT_OQ);
  const __m512 result = _mm512_maskz_scalef_ps(in_reach, (__m512)p, (__m512)n);
  return (Vec)_mm512_mask_mov_ps(result, beyond, (__m512)broadcast(__builtin_inff()));
#else
  // 2^n in two factors, since n reaches 128.
  const IntVec exponent = __builtin_convertvector(n, IntVec);
  const IntVec half = exponent >> 1;
  const Vec result = p * (Vec)((half + 127) << 23) * (Vec)((exponent - half + 127) << 23);
  const Vec small = x < broadcast(-87.3f) ? zero() : result;
  const Vec large = x > broadcast(88.7f) ? broadcast(__builtin_inff()) : small;
  return x == x ? large : x;
#endif
}

inline float exp(float x) { return exp(broadcast(x))[0]; }

}  // namespace sightline::SIGHTLINE_ISA
