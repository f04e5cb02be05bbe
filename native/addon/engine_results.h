#pragma once

#include <napi.h>

#include "engine/engine.h"

namespace sightline {

// Objects of the same names in src/native/types.ts from the engine's results.

Napi::Value to_js(Napi::Env env, Completion completion);
Napi::Value to_js(Napi::Env env, ForwardResult result);
/** The gradient norms of a StepResult. */
Napi::Value to_js(Napi::Env env, const std::vector<double>& gradient_norms);
/** The nothing of calls that only take effect. */
Napi::Value to_js(Napi::Env env, std::monostate);
Napi::Value to_js(Napi::Env env, const std::vector<ParameterInfo>& parameters);
Napi::Value to_js(Napi::Env env, const Arena::Report& memory);
Napi::Value to_js(Napi::Env env, const Profile& profile);

}  // namespace sightline
