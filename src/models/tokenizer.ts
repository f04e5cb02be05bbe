import { Tokenizer as BpeTokenizer } from "@huggingface/tokenizers";
import { piecesOf } from "./token-bytes.js";
import { TokenizerError } from "./tokenizer-error.js";

/** What of a tokenizer's files bears on prompts, beside the tokenizer itself. */
export interface TokenizerOptions {
  /** The token that a prompt begins with, written out; undefined where there is none. */
  readonly beginToken?: string;
  /** Number of ids that the model has; default: as many as the vocabulary. */
  readonly size?: number;
}

// A byte order mark is a character of the response like any other.
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Text to tokens and back for BPE vocabularies (Hugging Face `tokenizer.json`): byte-level ones, and those of SentencePiece that fall
 * back to bytes.
 *
 * A token stands for a fixed string of bytes, special tokens for none, and the text of a sequence is the
 * UTF-8 decoding of its tokens' bytes joined. Everything that reads tokens (decoding, character positions,
 * the engine's search for stop strings) goes through these bytes, so all of it agrees. Ids that the model has and the vocabulary
 * has not, which padded checkpoints have, stand for no bytes.
 */
export class Tokenizer {
  readonly #bpe: BpeTokenizer;
  readonly #bytes: readonly Uint8Array[];
  readonly #beginToken: string | undefined;
  /** Number of ids that the vocabulary has, added tokens included. */
  readonly vocabularySize: number;

  /**
   * @param tokenizerJson contents of `tokenizer.json`
   * @param tokenizerConfig contents of `tokenizer_config.json`
   * @throws TokenizerError `UNKNOWN_DECODER` for a vocabulary of another kind, `NOT_BYTE_LEVEL` where a token of a byte-level one is
   *   not written in its alphabet, `VOCABULARY_TOO_LARGE` where a token with text has an id that the model has not; Error where the
   *   files do not describe a tokenizer
   */
  constructor(tokenizerJson: object, tokenizerConfig: object, options: TokenizerOptions = {}) {
    this.#bpe = new BpeTokenizer(tokenizerJson, tokenizerConfig);
    this.#beginToken = options.beginToken;
    const bytes = piecesOf(this.#bpe, tokenizerJson);
    this.vocabularySize = bytes.length;
    const size = options.size ?? bytes.length;
    const tooLarge = bytes.findIndex((token, id) => id >= size && token.length > 0);
    if (tooLarge >= 0) {
      throw new TokenizerError(
        "VOCABULARY_TOO_LARGE",
        `tokenizer.json: expected ids of tokens with text below the model's number of ids, ${size}, ` +
          `received "${this.#bpe.id_to_token(tooLarge)}" (id ${tooLarge})`,
      );
    }
    const none = new Uint8Array(0);
    this.#bytes = Array.from({ length: size }, (_, id) => bytes[id] ?? none);
  }

  /** Number of ids that the model has: all are in [0, size). */
  get size(): number {
    return this.#bytes.length;
  }

  /** Tokens of the text by itself. Special tokens written out in it are recognised; none are added. */
  encode(text: string): Int32Array {
    return this.#encode(text, false);
  }

  /**
   * Tokens of a whole prompt: with those that the tokenizer's post-processor puts around a text, as `<s>`, unless the text begins
   * with the begin token by itself, as rendered chat templates may.
   */
  encodePrompt(text: string): Int32Array {
    const begins = this.#beginToken !== undefined && text.startsWith(this.#beginToken);
    return this.#encode(text, !begins);
  }

  /**
   * Tokens of text that continues other text. A SentencePiece vocabulary puts a space before a text of its own; here it does not,
   * so that the tokens' bytes are the text's in every vocabulary.
   */
  encodeContinuation(text: string): Int32Array {
    // A line break is a byte of its own in such vocabularies and joins nothing, but in others it may.
    const lineBreak = this.encode("\n");
    const tokens = this.encode(`\n${text}`);
    const isApart = lineBreak.every((token, index) => tokens[index] === token);
    const addsSpace = lineBreak.length > 1;
    return addsSpace && isApart ? tokens.subarray(lineBreak.length) : this.encode(text);
  }

  /**
   * Text of the tokens, without special tokens. Bytes that are not UTF-8 become U+FFFD.
   *
   * The tokens are taken as the continuation of others: a first piece that begins with a space keeps it, where decoding a text by
   * itself drops the one that a SentencePiece vocabulary has put there. For the response to a prompt this is what decoding both
   * gives beyond decoding the prompt.
   *
   * @throws TokenizerError `UNKNOWN_TOKEN` for an id outside [0, size)
   */
  decode(tokens: Int32Array): string {
    const parts = Array.from(tokens, (token) => {
      const bytes = this.#bytes[token];
      if (bytes === undefined) {
        throw new TokenizerError(
          "UNKNOWN_TOKEN",
          `tokens: expected ids in [0, ${this.size}), received ${token}`,
        );
      }
      return bytes;
    });
    return utf8Decoder.decode(Buffer.concat(parts));
  }

  /**
   * Index of the first token with which character `character` of the decoded text is complete; `tokens.length`
   * where the text has no such character.
   *
   * Found by binary search for the shortest run of leading tokens whose text agrees with the whole text up to
   * and including that character. A run that ends inside a character's bytes decodes its tail to U+FFFD, which
   * does not agree, so a character that spans several tokens belongs to the one that completes it.
   *
   * @param character index in UTF-16 units, as JavaScript's string functions return it, >= 0
   * @throws TokenizerError `INVALID_CHARACTER_INDEX`, `UNKNOWN_TOKEN`
   */
  tokenAtCharacter(tokens: Int32Array, character: number): number {
    if (!Number.isSafeInteger(character) || character < 0) {
      throw new TokenizerError(
        "INVALID_CHARACTER_INDEX",
        `character: expected an integer >= 0, received ${character}`,
      );
    }
    const text = this.decode(tokens);
    if (character >= text.length) return tokens.length;
    const reached = text.slice(0, character + 1);
    let low = 0;
    let high = tokens.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.decode(tokens.subarray(0, middle + 1)).startsWith(reached)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The bytes that each of the model's token ids stands for, none for special tokens. To be read only. */
  tokenBytes(): readonly Uint8Array[] {
    return this.#bytes;
  }

  /**
   * Id of a token, written as in the vocabulary.
   *
   * @throws TokenizerError `UNKNOWN_TOKEN`
   */
  tokenId(token: string): number {
    const id = this.#bpe.token_to_id(token);
    if (id === undefined) {
      throw new TokenizerError(
        "UNKNOWN_TOKEN",
        `token: expected an entry of the vocabulary, received "${token}"`,
      );
    }
    return id;
  }

  #encode(text: string, addSpecialTokens: boolean): Int32Array {
    return Int32Array.from(this.#bpe.encode(text, { add_special_tokens: addSpecialTokens }).ids);
  }
}
