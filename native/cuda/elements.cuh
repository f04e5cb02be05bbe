#pragma once

// How kernels read and write stored numbers: in registers everything is fp32, in memory float or bf16. Included by .cu files.

#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/elements.h"

namespace sightline::cuda {

/** The fp32 value of a bf16's bits, which are in the lower or the upper half of a word. */
__device__ inline float lower_bf16(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ inline float upper_bf16(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }

/** Both rounded to nearest even, `lower` in the lower half: the first of two neighbours in memory. */
__device__ inline uint32_t pack_bf16(float lower, float upper) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(upper), "f"(lower));
  return pair;
}

/**
 * Reads `width` neighbouring elements: 1 (any address), or 4 or 8 at an address that is a multiple of their bytes. A lane
 * reads at most 16 bytes at a time; 4 fp32 or 8 bf16 per lane make a warp's request a run of whole sectors.
 */
template <int width>
__device__ inline void load(const float* from, float (&x)[width]) {
  if constexpr (width == 1) {
    x[0] = *from;
  } else {
    static_assert(width == 4, "more than 16 bytes per lane would leave holes between the lanes of a request");
    const float4 four = *reinterpret_cast<const float4*>(from);
    x[0] = four.x;
    x[1] = four.y;
    x[2] = four.z;
    x[3] = four.w;
  }
}
template <int width>
__device__ inline void load(const bf16* from, float (&x)[width]) {
  const auto unpack = [&](int i, uint32_t pair) {
    x[i] = lower_bf16(pair);
    x[i + 1] = upper_bf16(pair);
  };
  if constexpr (width == 1) {
    x[0] = lower_bf16(from->bits);
  } else if constexpr (width == 4) {
    const uint2 pairs = *reinterpret_cast<const uint2*>(from);
    unpack(0, pairs.x);
    unpack(2, pairs.y);
  } else {
    static_assert(width == 8);
    const uint4 pairs = *reinterpret_cast<const uint4*>(from);
    unpack(0, pairs.x);
    unpack(2, pairs.y);
    unpack(4, pairs.z);
    unpack(6, pairs.w);
  }
}

/**
 * Stores 16 or 8 bytes to global memory as one access. From a plain assignment the compiler may make several of 4 bytes, each of
 * which touches every sector of the warp's run.
 * @param to  a multiple of as many bytes
 */
__device__ inline void store_global_16(void* to, uint4 value) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(value.x), "r"(value.y),
               "r"(value.z), "r"(value.w)
               : "memory");
}
__device__ inline void store_global_8(void* to, uint2 value) {
  asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(to)), "r"(value.x), "r"(value.y) : "memory");
}

/** Writes `width` neighbouring elements to global memory, rounded to the stored type; widths and addresses as for `load`. */
template <int width>
__device__ inline void store(float* to, const float (&x)[width]) {
  if constexpr (width == 1) {
    *to = x[0];
  } else {
    static_assert(width == 4);
    store_global_16(to, make_uint4(__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3])));
  }
}
template <int width>
__device__ inline void store(bf16* to, const float (&x)[width]) {
  if constexpr (width == 1) {
    to->bits = static_cast<uint16_t>(pack_bf16(x[0], 0.0f));
  } else if constexpr (width == 4) {
    store_global_8(to, make_uint2(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3])));
  } else {
    static_assert(width == 8);
    store_global_16(to, make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7])));
  }
}

/** Elements per lane with which a kernel that reads and writes all of these types makes accesses of 16 bytes at most. */
template <class... T>
inline constexpr int vector_width = (std::is_same_v<T, bf16> && ...) ? 8 : 4;

/** Whether rows of `columns` elements from these addresses on can be accessed by vectors. Null pointers can. */
template <class... T>
bool vectors_fit(int64_t columns, const T*... rows) {
  constexpr int width = vector_width<T...>;
  return columns % width == 0 && ((reinterpret_cast<uintptr_t>(rows) % (width * sizeof(T)) == 0) && ...);
}

/** Calls body(std::integral_constant<int, width>) for the widest accesses that fit, else for single elements. */
template <class Body, class... T>
void with_width(const Body& body, int64_t columns, const T*... rows) {
  if (vectors_fit(columns, rows...))
    body(std::integral_constant<int, vector_width<T...>>());
  else
    body(std::integral_constant<int, 1>());
}

/** Calls body with the stored type's tag: body(Type<float>()) or body(Type<bf16>()). */
template <class T>
struct Type {
  using type = T;
};
template <class Body>
void with_type(DType type, const Body& body) {
  if (type == DType::bf16)
    body(Type<bf16>());
  else
    body(Type<float>());
}

/** Threads of a block that works on one row of this many vectors: whole warps, a function of the row alone. */
constexpr unsigned row_threads(int64_t vectors, int64_t most = 256) {
  return static_cast<unsigned>(vectors >= most ? most : vectors <= 32 ? 32 : (vectors + 31) / 32 * 32);
}

}  // namespace sightline::cuda
