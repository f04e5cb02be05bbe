import { z } from "zod";
import type { Family, ModelMapping } from "./family.js";
import { llama } from "./llama.js";
import { llava } from "./llava.js";
import { llavaNext } from "./llava-next.js";
import { llavaOriginal } from "./llava-original.js";
import { qwen25Vl } from "./qwen2-5-vl.js";
import { smolVlm } from "./smolvlm.js";
import { tinyVlm } from "./tiny-vlm.js";

const families: readonly Family[] = [tinyVlm, llava, llavaNext, llavaOriginal, llama, smolVlm, qwen25Vl];

const familyByType = new Map(families.flatMap((family) => family.modelTypes.map((type) => [type, family])));

/** Reads the content of a `config.json` of any family, by its `model_type`. */
export const modelConfig: z.ZodType<ModelMapping> = z
  .looseObject({ model_type: z.enum([...familyByType.keys()]) })
  .transform((content, context) => {
    // The authors of LLaVA have written files of another form under the name that Transformers uses.
    const family = "mm_vision_tower" in content ? llavaOriginal : familyByType.get(content.model_type)!;
    const result = family.config.safeParse(content);
    if (result.success) return result.data;
    for (const { path, message } of result.error.issues) {
      context.addIssue({ code: "custom", path: [...path], message });
    }
    return z.NEVER;
  });
