#pragma once

#include <napi.h>

namespace sightline {

/** readTensorList(file: string): Promise<TensorList>, of `src/native/tensor-files.ts` */
Napi::Value read_tensor_list(const Napi::CallbackInfo& info);

/** copyTensors(copy: TensorCopy & { threads: number }): Promise<void>, of `src/native/tensor-files.ts` */
Napi::Value copy_tensors(const Napi::CallbackInfo& info);

}  // namespace sightline
