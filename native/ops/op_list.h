#pragma once

// Every op with its argument struct: X(name, Args). A new op adds its trio of files, its header below and its line here.

#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/attention_decode.h"
#include "ops/dropout.h"
#include "ops/embed.h"
#include "ops/gelu.h"
#include "ops/layer_norm.h"
#include "ops/linear_log_prob.h"
#include "ops/matmul.h"
#include "ops/patch_embed.h"
#include "ops/relu.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/rows.h"
#include "ops/sample.h"
#include "ops/swiglu.h"

#define SIGHTLINE_OPS(X)                                \
  X(matmul, MatmulArgs)                                 \
  X(pack_matrix, PackMatrixArgs)                        \
  X(patch_embed, PatchEmbedArgs)                        \
  X(patch_embed_backward, PatchEmbedBackwardArgs)       \
  X(embed, EmbedArgs)                                   \
  X(embed_backward, EmbedBackwardArgs)                  \
  X(layer_norm, LayerNormArgs)                          \
  X(layer_norm_backward, LayerNormBackwardArgs)         \
  X(rms_norm, RmsNormArgs)                              \
  X(rms_norm_backward, RmsNormBackwardArgs)             \
  X(rope, RopeArgs)                                     \
  X(attention, AttentionArgs)                           \
  X(attention_backward, AttentionBackwardArgs)          \
  X(attention_decode, AttentionDecodeArgs)              \
  X(kv_write, KvWriteArgs)                              \
  X(gelu, GeluArgs)                                     \
  X(gelu_backward, GeluBackwardArgs)                    \
  X(relu, ReluArgs)                                     \
  X(relu_backward, ReluBackwardArgs)                    \
  X(dropout, DropoutArgs)                               \
  X(swiglu, SwigluArgs)                                 \
  X(swiglu_backward, SwigluBackwardArgs)                \
  X(linear_log_prob, LinearLogProbArgs)                 \
  X(linear_log_prob_backward, LinearLogProbBackwardArgs) \
  X(sample, SampleArgs)                                 \
  X(gather_rows, GatherRowsArgs)                        \
  X(scatter_add_rows, ScatterAddRowsArgs)               \
  X(sum_rows, SumRowsArgs)                              \
  X(add, AddArgs)                                       \
  X(sum_squares, SumSquaresArgs)                        \
  X(adamw, AdamwArgs)
