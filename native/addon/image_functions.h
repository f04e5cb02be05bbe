#pragma once

#include <napi.h>

namespace sightline {

/** resizeImage(image: ByteImage, size: ImageSize, filter: ResampleFilter, cpu?: CpuPath): Uint8Array */
Napi::Value resize_image(const Napi::CallbackInfo& info);

}  // namespace sightline
