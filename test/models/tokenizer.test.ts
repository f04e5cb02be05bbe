import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { NumberLine } from "../../envs/gym-cards/number-line.js";
import { NumberLineExpert } from "../../envs/gym-cards/number-line-expert.js";
import { Tokenizer } from "../../src/models/tokenizer.js";
import { Random } from "../../src/random.js";

const assets = new URL("../../assets/tiny-vlm/", import.meta.url);
const readJson = (url: URL) => JSON.parse(readFileSync(url, "utf8"));
const tokenizerJson = readJson(new URL("tokenizer.json", assets));
const tokenizerConfig = readJson(new URL("tokenizer_config.json", assets));
const tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig);

interface Vector {
  text: string;
  tokens: number[];
}
const vectors: Vector[] = readJson(new URL("../golden/tokenizer-vectors.json", import.meta.url));

const tokenTexts = (text: string) =>
  Array.from(tokenizer.encode(text), (token) => tokenizer.decode(Int32Array.of(token)));

describe("encode", () => {
  test("gives the tokens of the Python package for prompts, answers and random Unicode", () => {
    for (const { text, tokens } of vectors) expect([...tokenizer.encode(text)], text).toEqual(tokens);
  });

  test("recognises special tokens and adds none", () => {
    expect([...tokenizer.encode("<bos><image>0<eos>")]).toEqual([
      tokenizer.tokenId("<bos>"),
      tokenizer.tokenId("<image>"),
      tokenizer.tokenId("0"),
      tokenizer.tokenId("<eos>"),
    ]);
  });

  test("makes one token of every word, digit and sign of NumberLine", () => {
    const info = { current: 2, target: 5, steps: 0 };
    const texts = [
      new NumberLine().prompt(info),
      new NumberLineExpert().respond(info, () => 0.5, 0),
      new NumberLineExpert().respond(info, () => 0.5, 1),
    ];
    for (const text of texts) {
      const pieces = text.match(/ ?[A-Za-z]+|[0-9+-]/g)!;
      expect(tokenTexts(text).filter((piece) => /[A-Za-z0-9+-]/.test(piece))).toEqual(pieces);
    }
  });

  test("never joins the quote that opens a JSON key to other text", () => {
    const answer = new NumberLineExpert().respond({ current: 2, target: 5, steps: 0 }, () => 0.5, 0);
    const tokens = tokenizer.encode(answer);
    for (const { index } of answer.matchAll(/"(?=[a-z ]+":)/g)) {
      const token = tokenizer.tokenAtCharacter(tokens, index);
      expect(tokenizer.decode(tokens.subarray(token, token + 1))).toBe('"');
    }
  });
});

describe("decode", () => {
  test("returns what was encoded", () => {
    for (const { text } of vectors) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test("leaves special tokens out", () => {
    expect(tokenizer.decode(tokenizer.encode("<bos>a <image>b<pad><eos>"))).toBe("a b");
  });

  test("gives empty text for no tokens", () => {
    expect(tokenizer.decode(new Int32Array())).toBe("");
  });

  test("replaces bytes that are not UTF-8", () => {
    expect(tokenizer.decode(tokenizer.encode("€").subarray(0, 2))).toBe("\uFFFD");
  });

  test("throws UNKNOWN_TOKEN for an id outside the vocabulary", () => {
    for (const id of [-1, tokenizer.size]) {
      expect(() => tokenizer.decode(Int32Array.of(0, id))).toThrow(
        expect.objectContaining({ name: "TokenizerError", code: "UNKNOWN_TOKEN" }),
      );
    }
  });
});

describe("tokenAtCharacter", () => {
  /** The definition, by linear search: the first token with which characters 0..character stand as they will. */
  function definition(tokens: Int32Array, character: number): number {
    const text = tokenizer.decode(tokens);
    for (let count = 1; count <= tokens.length; count++) {
      const prefix = tokenizer.decode(tokens.subarray(0, count));
      if (prefix.length > character && text.startsWith(prefix.slice(0, character + 1))) return count - 1;
    }
    return tokens.length;
  }

  test("agrees with a linear search on every character of texts and of random tokens", () => {
    const random = new Random([1, 2]);
    const sequences = vectors.slice(-30).map(({ text }) => tokenizer.encode(text));
    for (let i = 0; i < 30; i++) {
      sequences.push(Int32Array.from({ length: 20 }, () => random.integer(tokenizer.size)));
    }
    for (const tokens of sequences) {
      const length = tokenizer.decode(tokens).length;
      for (let character = 0; character <= length; character++) {
        expect(tokenizer.tokenAtCharacter(tokens, character)).toBe(definition(tokens, character));
      }
    }
  });

  test("gives a character of several byte tokens to the token that completes it", () => {
    const tokens = tokenizer.encode("a😀b");
    expect(tokens.length).toBe(6);
    expect([0, 1, 2, 3].map((character) => tokenizer.tokenAtCharacter(tokens, character))).toEqual([
      0, 4, 4, 5,
    ]);
  });

  test("counts past special tokens, which have no text", () => {
    expect(tokenizer.tokenAtCharacter(tokenizer.encode("<bos>0<image>1<eos>"), 1)).toBe(3);
  });

  test("gives the number of tokens for a character behind the text", () => {
    expect(tokenizer.tokenAtCharacter(tokenizer.encode("01<eos>"), 2)).toBe(3);
    expect(tokenizer.tokenAtCharacter(new Int32Array(), 0)).toBe(0);
  });

  test("throws INVALID_CHARACTER_INDEX for anything but an integer >= 0", () => {
    for (const character of [-1, 0.5, Number.NaN]) {
      expect(() => tokenizer.tokenAtCharacter(tokenizer.encode("ab"), character)).toThrow(
        expect.objectContaining({ code: "INVALID_CHARACTER_INDEX" }),
      );
    }
  });
});

describe("tokenBytes", () => {
  test("holds every byte once as a token of its own, and nothing for special tokens", () => {
    const bytes = tokenizer.tokenBytes();
    expect(bytes.length).toBe(512);
    const single = bytes.filter((token) => token.length === 1).map((token) => token[0]!);
    expect(single.sort((a, b) => a - b)).toEqual(Array.from({ length: 256 }, (_, byte) => byte));
    for (const special of ["<pad>", "<bos>", "<eos>", "<image>"]) {
      expect(bytes[tokenizer.tokenId(special)]).toEqual(new Uint8Array(0));
    }
  });

  test("joined over a text's tokens gives the text's UTF-8", () => {
    for (const { text, tokens } of vectors) {
      const joined = Buffer.concat(tokens.map((token) => tokenizer.tokenBytes()[token]!));
      expect(joined.equals(Buffer.from(text, "utf8"))).toBe(true);
    }
  });

  test("holds the text of an added token that is not special", () => {
    const extended = structuredClone(tokenizerJson);
    extended.added_tokens.push({ ...extended.added_tokens[3], id: 512, content: "<é>", special: false });
    expect(new Tokenizer(extended, tokenizerConfig).tokenBytes()[512]).toEqual(
      new TextEncoder().encode("<é>"),
    );
  });
});

test("a vocabulary that is not byte-level is refused with NOT_BYTE_LEVEL and the token's name", () => {
  const metaspace = structuredClone(tokenizerJson);
  metaspace.model.vocab["▁the"] = 512;
  expect(() => new Tokenizer(metaspace, tokenizerConfig)).toThrow(
    expect.objectContaining({
      name: "TokenizerError",
      code: "NOT_BYTE_LEVEL",
      message: expect.stringContaining('"▁the" (id 512)'),
    }),
  );
});

test("tokenId throws UNKNOWN_TOKEN for a token that is not in the vocabulary", () => {
  expect(() => tokenizer.tokenId("<video>")).toThrow(expect.objectContaining({ code: "UNKNOWN_TOKEN" }));
});

test("a vocabulary whose decoder is of another kind is refused with UNKNOWN_DECODER", () => {
  for (const decoder of [{ type: "WordPiece", prefix: "##", cleanup: true }, null]) {
    expect(() => new Tokenizer({ ...tokenizerJson, decoder }, tokenizerConfig)).toThrow(
      expect.objectContaining({ code: "UNKNOWN_DECODER", message: expect.stringContaining("decoder") }),
    );
  }
});

describe("a model with another number of ids than the vocabulary", () => {
  test("has ids without bytes behind it", () => {
    const padded = new Tokenizer(tokenizerJson, tokenizerConfig, { size: 520 });
    expect(padded.size).toBe(520);
    expect(padded.vocabularySize).toBe(512);
    expect(padded.decode(Int32Array.of(519, padded.encode("a")[0]!, 512))).toBe("a");
    expect(() => padded.decode(Int32Array.of(520))).toThrow(
      expect.objectContaining({ code: "UNKNOWN_TOKEN" }),
    );
  });

  test("may lack special tokens, but none with text", () => {
    const extended = structuredClone(tokenizerJson);
    extended.added_tokens.push({ ...extended.added_tokens[3], id: 512, content: "<video>", special: true });
    expect(new Tokenizer(extended, tokenizerConfig, { size: 512 }).tokenBytes().length).toBe(512);
    expect(() => new Tokenizer(tokenizerJson, tokenizerConfig, { size: 511 })).toThrow(
      expect.objectContaining({ code: "VOCABULARY_TOO_LARGE", message: expect.stringContaining("(id 511)") }),
    );
  });
});

test("a vocabulary may be as large as published ones", () => {
  const large = structuredClone(tokenizerJson);
  for (let id = 512; id < 151_000; id++) large.model.vocab[`w${id}`] = id;
  const bytes = new Tokenizer(large, tokenizerConfig).tokenBytes();
  expect(bytes.length).toBe(151_000);
  expect(bytes[150_999]).toEqual(new TextEncoder().encode("w150999"));
});

test("ids that no token has stand for no bytes", () => {
  const sparse = structuredClone(tokenizerJson);
  sparse.model.vocab.w600 = 600;
  const bytes = new Tokenizer(sparse, tokenizerConfig).tokenBytes();
  expect(bytes.length).toBe(601);
  expect(bytes[550]).toEqual(new Uint8Array(0));
});
