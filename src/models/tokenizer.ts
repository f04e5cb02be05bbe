import { Tokenizer as BpeTokenizer } from "@huggingface/tokenizers";

export type TokenizerErrorCode = "NOT_BYTE_LEVEL" | "UNKNOWN_TOKEN" | "INVALID_CHARACTER_INDEX";

/** A vocabulary that cannot be used, or an argument that names nothing in it. */
export class TokenizerError extends Error {
  constructor(
    readonly code: TokenizerErrorCode,
    message: string,
  ) {
    super(message);
    this.name = "TokenizerError";
  }
}

const utf8Encoder = new TextEncoder();
// A byte order mark is a character of the response like any other.
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Text to tokens and back for a byte-level BPE vocabulary (Hugging Face `tokenizer.json`).
 *
 * A token stands for a fixed string of bytes, special tokens for none, and the text of a sequence is the
 * UTF-8 decoding of its tokens' bytes joined. Everything that reads tokens (decoding, character positions,
 * the engine's search for stop strings) goes through these bytes, so all of it agrees.
 */
export class Tokenizer {
  readonly #bpe: BpeTokenizer;
  readonly #bytes: readonly Uint8Array[];

  /**
   * @param tokenizerJson contents of `tokenizer.json`
   * @param tokenizerConfig contents of `tokenizer_config.json`
   * @throws TokenizerError `NOT_BYTE_LEVEL` where a token is not written in the ByteLevel alphabet, Error where
   *   the files do not describe a tokenizer
   */
  constructor(tokenizerJson: object, tokenizerConfig: object) {
    this.#bpe = new BpeTokenizer(tokenizerJson, tokenizerConfig);
    this.#bytes = bytesOfTokens(this.#bpe);
  }

  /** Number of token ids: all ids are in [0, size). */
  get size(): number {
    return this.#bytes.length;
  }

  /** Tokens of the text. Special tokens written out in it are recognised; none are added. */
  encode(text: string): Int32Array {
    return Int32Array.from(this.#bpe.encode(text, { add_special_tokens: false }).ids);
  }

  /**
   * Text of the tokens, without special tokens. Bytes that are not UTF-8 become U+FFFD.
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

  /** The bytes that each token id stands for, none for special tokens. To be read only. */
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
}

function bytesOfTokens(bpe: BpeTokenizer): Uint8Array[] {
  const alphabet = byteLevelAlphabet();
  const addedTokens = bpe.get_added_tokens_decoder();
  const bytes: Uint8Array[] = [];
  for (const [token, id] of bpe.get_vocab()) {
    const added = addedTokens.get(id);
    if (added !== undefined) {
      bytes[id] = added.special ? new Uint8Array(0) : utf8Encoder.encode(added.content);
      continue;
    }
    bytes[id] = Uint8Array.from([...token], (character) => {
      const byte = alphabet.get(character);
      if (byte === undefined) {
        throw new TokenizerError(
          "NOT_BYTE_LEVEL",
          `tokenizer.json: expected tokens in the ByteLevel alphabet, received "${token}" (id ${id}); ` +
            "only byte-level vocabularies are supported",
        );
      }
      return byte;
    });
  }
  return bytes;
}

/**
 * The characters that stand for bytes in a ByteLevel vocabulary (Radford et al. 2019, GPT-2): printable
 * Latin-1 characters for themselves, the other bytes in order for the characters from U+0100 on.
 */
function byteLevelAlphabet(): Map<string, number> {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
  const alphabet = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    alphabet.set(String.fromCharCode(isPrintable(byte) ? byte : next++), byte);
  }
  return alphabet;
}
