#pragma once

#include <napi.h>

namespace sightline {

/** Adds the safetensors entry points of the tests to the module's exports. */
void register_safetensors(Napi::Env env, Napi::Object exports);

/** Adds the loop that reads mutated safetensors files. */
void register_fuzzing(Napi::Env env, Napi::Object exports);

/** Adds the emulated CUDA libraries. */
void register_emulator(Napi::Env env, Napi::Object exports);

/** Adds the PTX interpreter's entry points of the tests to the module's exports. */
void register_ptx(Napi::Env env, Napi::Object exports);

/** Adds ops on a GPU that stay prepared from call to call, for benchmarks. */
void register_gpu(Napi::Env env, Napi::Object exports);

}  // namespace sightline
