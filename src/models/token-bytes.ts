/** What tokens stand for, by the kind of vocabulary. */
import type { Tokenizer as BpeTokenizer } from "@huggingface/tokenizers";
import { TokenizerError } from "./tokenizer-error.js";

const utf8Encoder = new TextEncoder();

/** What stands for a space in the pieces of SentencePiece. */
const spaceMark = "\u2581";

interface DecoderFile {
  readonly type?: string;
  readonly decoders?: readonly DecoderFile[];
}

/**
 * The bytes of every token by id, none for special tokens and for ids that no token has.
 *
 * @param tokenizerJson contents of `tokenizer.json`, whose decoder says what pieces mean
 * @throws TokenizerError `UNKNOWN_DECODER`, `NOT_BYTE_LEVEL`
 */
export function piecesOf(bpe: BpeTokenizer, tokenizerJson: object): Uint8Array[] {
  const bytesOf = pieceReader(tokenizerJson as { decoder?: DecoderFile | null });
  const addedTokens = bpe.get_added_tokens_decoder();
  let size = 0;
  for (const id of bpe.get_vocab().values()) size = Math.max(size, id + 1);
  return Array.from({ length: size }, (_, id) => {
    const added = addedTokens.get(id);
    if (added !== undefined) return added.special ? new Uint8Array(0) : utf8Encoder.encode(added.content);
    const piece = bpe.id_to_token(id);
    return piece === undefined ? new Uint8Array(0) : bytesOf(piece, id);
  });
}

type PieceReader = (piece: string, id: number) => Uint8Array;

function pieceReader({ decoder }: { decoder?: DecoderFile | null }): PieceReader {
  const types = (decoder?.decoders ?? [decoder]).map((step) => step?.type);
  if (types.includes("ByteLevel")) return byteLevelReader();
  if (types.includes("ByteFallback") || types.includes("Metaspace")) return sentencePieceBytes;
  throw new TokenizerError(
    "UNKNOWN_DECODER",
    "tokenizer.json: decoder: expected one of the type ByteLevel, ByteFallback or Metaspace, " +
      `received ${types.join(", ") || "none"}; only byte-level and SentencePiece BPE vocabularies are supported`,
  );
}

/** A piece is its text with marks for spaces, or one byte as `<0x0A>`. */
function sentencePieceBytes(piece: string): Uint8Array {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1];
  if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
  return utf8Encoder.encode(piece.replaceAll(spaceMark, " "));
}

function byteLevelReader(): PieceReader {
  const alphabet = byteLevelAlphabet();
  return (piece, id) => {
    const bytes = new Uint8Array(piece.length);
    for (let index = 0; index < piece.length; index++) {
      const byte = alphabet.get(piece.charCodeAt(index));
      if (byte === undefined) {
        throw new TokenizerError(
          "NOT_BYTE_LEVEL",
          `tokenizer.json: expected tokens in the alphabet of its ByteLevel decoder, received "${piece}" (id ${id})`,
        );
      }
      bytes[index] = byte;
    }
    return bytes;
  };
}

/**
 * The characters that stand for bytes in a ByteLevel vocabulary (Radford et al. 2019, GPT-2): printable
 * Latin-1 characters for themselves, the other bytes in order for the characters from U+0100 on. By character code.
 */
function byteLevelAlphabet(): Map<number, number> {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
  const alphabet = new Map<number, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    alphabet.set(isPrintable(byte) ? byte : next++, byte);
  }
  return alphabet;
}
