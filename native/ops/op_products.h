#pragma once

#include "ops/linear_log_prob.h"
#include "ops/matmul.h"
#include "ops/patch_embed.h"

namespace sightline {

// The products that ops are made of, for rows [first, first + rows) of theirs: what every backend multiplies, and what its scratch
// memory is counted from.

/** logits (rows, V) = x weight^T */
MatmulArgs logits_product(const LinearLogProbArgs& args, int64_t first, int64_t rows, float* logits);
MatmulArgs logits_product(const LinearLogProbBackwardArgs& args, int64_t first, int64_t rows, float* logits);

/** dx (rows, C) = dlogits weight */
MatmulArgs dx_product(const LinearLogProbBackwardArgs& args, int64_t first, int64_t rows, ConstElements dlogits);

/** dweight (V, C) += dlogits^T x */
MatmulArgs dweight_product(const LinearLogProbBackwardArgs& args, int64_t first, int64_t rows, ConstElements dlogits);

/** y (rows, columns) += patches weight^T; rows are patches of the batch */
MatmulArgs patches_product(const PatchEmbedArgs& args, int64_t first, int64_t rows, ConstElements patches);

/** dweight += dy^T patches */
MatmulArgs dweight_product(const PatchEmbedBackwardArgs& args, int64_t first, int64_t rows, ConstElements patches);

}  // namespace sightline
