/** One answer of a model to a prompt, with or without an image. */
import { CheckpointError } from "../models/checkpoint-error.js";
import { readImageFile } from "../models/image-file.js";
import type { DeviceName, Precision } from "../native/types.js";
import type { Response } from "../policy/policy.js";
import { VlmPolicy } from "../policy/vlm-policy.js";
import { modelFolder } from "./load-policy.js";

export interface AnswerRequest {
  /** Folder of a model or an adapter, or the name of a model that ships. */
  readonly checkpoint: string;
  /** A PNG file. */
  readonly image?: string | undefined;
  readonly prompt: string;
  /** Longest answer, in tokens. */
  readonly maxNewTokens: number;
  /** >= 0; 0 takes the most likely token each time. */
  readonly temperature: number;
  /** Fixes what is sampled. */
  readonly seed: number;
  readonly precision: Precision;
  readonly device: DeviceName;
  readonly threads?: number | undefined;
}

export interface Answer extends Response {
  /** With those of the image. */
  readonly promptTokens: number;
}

/** @throws CheckpointError, also for an image to a model of text alone; ImageFileError, PromptError, SightlineError */
export async function answerPrompt(request: AnswerRequest): Promise<Answer> {
  const { checkpoint, image, prompt, maxNewTokens, temperature, seed, precision, device, threads } = request;
  const frame = image === undefined ? null : await readImageFile(image);
  const folder = modelFolder(checkpoint);
  const policy = await VlmPolicy.load(folder, {
    trainable: { vision: "frozen", projector: "frozen", decoder: "frozen" },
    precision,
    device,
    ...(threads !== undefined && { threads }),
  });
  try {
    if (frame !== null && !policy.takesImages) {
      throw new CheckpointError(
        "FILES_DISAGREE",
        folder,
        "expected a model that takes images, received one of text alone; leave --image out",
      );
    }
    const encoded = policy.encode(frame, prompt);
    const response = await policy.respond(encoded, {
      sampling: { temperature },
      randomKey: [seed, 0],
      maxNewTokens,
    });
    return { ...response, promptTokens: encoded.tokens.length };
  } finally {
    policy.dispose();
  }
}
