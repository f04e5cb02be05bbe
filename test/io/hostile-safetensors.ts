import { fileBytes, floats } from "./native-safetensors.js";

const entry = (fields: string) => `{"w":{${fields}}}`;
const offsets = '"data_offsets":[0,4]';
const dtype = '"dtype":"F32"';
const shape = '"shape":[1]';
const good = `${dtype},${shape},${offsets}`;
const four = new Uint8Array(4);
const invalidUtf8 = (...bytes: number[]) =>
  Buffer.concat([Buffer.from('{"'), Buffer.from(bytes), Buffer.from(`":{${good}}}`)]);

/** Files that no reader may accept: what is wrong, the file, what the message says. */
export const hostileFiles: [string, Uint8Array, RegExp][] = [
  // The frame of the file.
  ["an empty file", Buffer.alloc(0), /^memory: expected at least 8 bytes, received 0$/],
  ["a file shorter than its length field", Buffer.alloc(7), /expected at least 8 bytes, received 7/],
  ["no header", Buffer.alloc(8), /header: expected '\{' as its first byte/],
  [
    "a header cut short",
    fileBytes(entry(good), undefined, 500n),
    /header length: expected at most 54 bytes, the rest of the file, received 500/,
  ],
  [
    "a header length of 2^63",
    fileBytes("{}", undefined, 2n ** 63n),
    /header length: expected at most 2 bytes.*received 9223372036854775808/,
  ],
  [
    "a header length of 2^64 - 1",
    fileBytes("{}", undefined, 2n ** 64n - 1n),
    /received 18446744073709551615/,
  ],
  [
    "a header length that wraps around with its own 8 bytes",
    fileBytes("{}", undefined, 2n ** 64n - 8n),
    /header length/,
  ],
  [
    "a header of more than 100 MB",
    fileBytes(`{}${" ".repeat(100_000_000)}`),
    /header length: expected at most 100000000 bytes, received 100000002/,
  ],
  [
    "data cut short",
    fileBytes(entry(good), new Uint8Array(3)),
    /tensor "w": data_offsets: expected 0 <= begin <= end <= 3, the file's bytes of data, received \[0, 4\]/,
  ],
  [
    "bytes after the data",
    fileBytes(entry(good), new Uint8Array(5)),
    /expected 4 bytes of data, as the header describes, received 5/,
  ],
  [
    "data without tensors",
    fileBytes("{}", four),
    /expected 0 bytes of data, as the header describes, received 4/,
  ],
  [
    "text after the header's object",
    fileBytes("{}x"),
    /header, byte 2: expected the end of the text, received 'x'/,
  ],
  ["white space before the header's object", fileBytes(" {}"), /expected '\{' as its first byte/],
  // Not JSON, or not the JSON of a header.
  ["an array", fileBytes("[]"), /expected '\{' as its first byte/],
  ["an object that does not end", fileBytes("{"), /byte 1: expected a string, received the end/],
  ["a name without quotes", fileBytes("{w:1}"), /byte 1: expected a string, received 'w'/],
  ["a name that does not end", fileBytes('{"w'), /expected the end of a string, received the end/],
  ["a missing colon", fileBytes('{"w"{}}'), /expected ':', received '\{'/],
  ["a missing comma", fileBytes(entry(`${dtype} ${shape}`), four), /expected ',' or '\}', received '"'/],
  ["a comma at the end", fileBytes(entry(`${good},`), four), /expected a string, received '\}'/],
  [
    "a control character in a name",
    fileBytes('{"a\nb":{}}'),
    /expected no control character in a string, received byte value 10/,
  ],
  ["a zero byte", fileBytes("{\0}"), /byte 1: expected a string, received byte value 0/],
  ["an unknown escape", fileBytes(String.raw`{"\x41":{}}`), /after '\\', received 'x'/],
  ["an escape at the very end", fileBytes('{"\\'), /after '\\', received the end/],
  ["a short \\u escape", fileBytes(String.raw`{"\u12":{}}`), /expected a hexadecimal digit, received '"'/],
  ["a lone high surrogate", fileBytes(String.raw`{"\ud800":{}}`), /no lone surrogate/],
  ["a lone low surrogate", fileBytes(String.raw`{"\udc00":{}}`), /no lone surrogate/],
  ["a surrogate pair in the wrong order", fileBytes(String.raw`{"\ud800\ud800":{}}`), /low surrogate/],
  ["a tensor that is a number", fileBytes('{"w":1}'), /expected '\{', received '1'/],
  ["a tensor that is null", fileBytes('{"w":null}'), /expected '\{', received 'n'/],
  [
    "deeply nested arrays",
    fileBytes(entry(`"shape":${"[".repeat(1_000_000)}`)),
    /expected a non-negative integer, received '\['/,
  ],
  [
    "deeply nested objects",
    fileBytes('{"a":'.repeat(1_000_000)),
    /expected the keys dtype, shape and data_offsets, received "a"/,
  ],
  // Bad UTF-8.
  [
    "a lone continuation byte",
    fileBytes(invalidUtf8(0x80), four),
    /header, byte 2: expected UTF-8, received byte value 128/,
  ],
  [
    "an overlong form of two bytes",
    fileBytes(invalidUtf8(0xc0, 0xaf), four),
    /expected UTF-8, received byte value 192/,
  ],
  ["an overlong form of three bytes", fileBytes(invalidUtf8(0xe0, 0x80, 0xaf), four), /expected UTF-8/],
  ["an overlong form of four bytes", fileBytes(invalidUtf8(0xf0, 0x80, 0x80, 0xaf), four), /expected UTF-8/],
  ["an encoded surrogate", fileBytes(invalidUtf8(0xed, 0xa0, 0x80), four), /expected UTF-8/],
  ["a code point above U+10FFFF", fileBytes(invalidUtf8(0xf4, 0x90, 0x80, 0x80), four), /expected UTF-8/],
  [
    "a byte that UTF-8 never uses",
    fileBytes(invalidUtf8(0xff), four),
    /expected UTF-8, received byte value 255/,
  ],
  [
    "a character cut by the header's end",
    fileBytes(Buffer.from([0x7b, 0x22, 0xe2, 0x82])),
    /header, byte 2: expected UTF-8/,
  ],
  // Entries.
  [
    "an unknown dtype",
    fileBytes(entry(`"dtype":"F31",${shape},${offsets}`), four),
    /tensor "w": dtype: expected a dtype of whole bytes such as F32 or BF16, received "F31"/,
  ],
  [
    "a dtype that is a number",
    fileBytes(entry(`"dtype":1,${shape},${offsets}`), four),
    /expected a string, received '1'/,
  ],
  [
    "no dtype",
    fileBytes(entry(`${shape},${offsets}`), four),
    /tensor "w": dtype: expected a dtype, received nothing/,
  ],
  [
    "no shape",
    fileBytes(entry(`${dtype},${offsets}`), four),
    /tensor "w": shape: expected a list of sizes, received nothing/,
  ],
  [
    "no offsets",
    fileBytes(entry(`${dtype},${shape}`), four),
    /tensor "w": data_offsets: expected \[begin, end\], received nothing/,
  ],
  ["an empty entry", fileBytes(entry(""), four), /tensor "w": dtype/],
  [
    "an unknown key",
    fileBytes(entry(`${good},"stride":[1]`), four),
    /tensor "w": expected the keys dtype, shape and data_offsets, received "stride"/,
  ],
  [
    "one offset",
    fileBytes(entry(`${dtype},${shape},"data_offsets":[0]`), four),
    /expected 2 integers, received 1/,
  ],
  [
    "three offsets",
    fileBytes(entry(`${dtype},${shape},"data_offsets":[0,4,8]`), four),
    /expected at most 2 integers, received more/,
  ],
  [
    "too many axes",
    fileBytes(entry(`${dtype},"shape":[${Array(33).fill(1)}],${offsets}`), four),
    /shape: expected at most 32 integers/,
  ],
  [
    "a shape whose product is not the span",
    fileBytes(entry(`${dtype},"shape":[2],${offsets}`), four),
    /expected a span of 8 bytes for F32 of shape \[2\], received \[0, 4\]/,
  ],
  [
    "a span that is not whole elements",
    fileBytes(entry(`${dtype},"shape":[0],"data_offsets":[0,3]`), new Uint8Array(3)),
    /expected a span of 0 bytes/,
  ],
  [
    "a dtype whose size is not the span's",
    fileBytes(entry(`"dtype":"F64",${shape},${offsets}`), four),
    /expected a span of 8 bytes for F64/,
  ],
  [
    "a product that wraps around to the span",
    fileBytes(entry(`${dtype},"shape":[4611686018427387905],${offsets}`), four),
    /expected a span of more than 2\^64 bytes/,
  ],
  [
    "sizes whose product wraps around",
    fileBytes(entry(`${dtype},"shape":[4294967296,4294967296],"data_offsets":[0,0]`)),
    /expected a span of more than 2\^64 bytes for F32 of shape \[4294967296, 4294967296\]/,
  ],
  // Numbers.
  [
    "a negative size",
    fileBytes(entry(`${dtype},"shape":[-1],${offsets}`), four),
    /expected a non-negative integer, received '-'/,
  ],
  [
    "a negative offset",
    fileBytes(entry(`${dtype},${shape},"data_offsets":[-4,0]`), four),
    /expected a non-negative integer/,
  ],
  [
    "a size of 2^63",
    fileBytes(entry(`${dtype},"shape":[9223372036854775808],${offsets}`), four),
    /expected an integer below 2\^63/,
  ],
  [
    "a size of 2^64",
    fileBytes(entry(`${dtype},"shape":[18446744073709551616],${offsets}`), four),
    /expected an integer below 2\^63/,
  ],
  [
    "an end of 2^63 - 1",
    fileBytes(entry(`${dtype},${shape},"data_offsets":[0,9223372036854775807]`), four),
    /expected 0 <= begin <= end <= 4/,
  ],
  [
    "a fraction",
    fileBytes(entry(`${dtype},"shape":[1.0],${offsets}`), four),
    /expected ',' or '\]', received '\.'/,
  ],
  [
    "an exponent",
    fileBytes(entry(`${dtype},"shape":[1e0],${offsets}`), four),
    /expected ',' or '\]', received 'e'/,
  ],
  [
    "a leading zero",
    fileBytes(entry(`${dtype},"shape":[01],${offsets}`), four),
    /expected an integer without leading zeros/,
  ],
  [
    "a number in quotes",
    fileBytes(entry(`${dtype},"shape":["1"],${offsets}`), four),
    /expected a non-negative integer, received '"'/,
  ],
  // Spans.
  [
    "offsets in the wrong order",
    fileBytes(entry(`${dtype},${shape},"data_offsets":[4,0]`), four),
    /expected 0 <= begin <= end <= 4.*received \[4, 0\]/,
  ],
  [
    "overlapping tensors",
    fileBytes({ a: floats(0, 2), b: floats(4, 2) }, new Uint8Array(12)),
    /tensor "b": data_offsets: expected begin = 8.*received 4 \(an overlap\)/,
  ],
  ["two tensors on the same bytes", fileBytes({ a: floats(0, 1), b: floats(0, 1) }, four), /\(an overlap\)/],
  [
    "a hole before the first tensor",
    fileBytes({ a: floats(4, 1) }, new Uint8Array(8)),
    /tensor "a": data_offsets: expected begin = 0.*received 4 \(a hole\)/,
  ],
  [
    "a hole between tensors",
    fileBytes({ a: floats(0, 1), b: floats(8, 1) }, new Uint8Array(12)),
    /tensor "b".*\(a hole\)/,
  ],
  [
    "an empty tensor inside another",
    fileBytes({ a: floats(0, 2), b: floats(4, 0) }, new Uint8Array(8)),
    /tensor "b".*\(an overlap\)/,
  ],
  // Duplicates.
  [
    "a name twice",
    fileBytes(`{"w":{${good}},"w":{${good}}}`, four),
    /tensor "w": expected each name once, received it twice/,
  ],
  [
    "a name twice, once escaped",
    fileBytes(`{"w":{${good}},"\\u0077":{${good}}}`, four),
    /tensor "w": expected each name once/,
  ],
  [
    "a dtype twice",
    fileBytes(entry(`${good},${dtype}`), four),
    /tensor "w": expected each key once, received "dtype" twice/,
  ],
  [
    "a shape twice",
    fileBytes(entry(`${good},${shape}`), four),
    /expected each key once, received "shape" twice/,
  ],
  [
    "offsets twice",
    fileBytes(entry(`${good},${offsets}`), four),
    /expected each key once, received "data_offsets" twice/,
  ],
  // Metadata.
  [
    "metadata twice",
    fileBytes('{"__metadata__":{},"__metadata__":{}}'),
    /expected one __metadata__, received two/,
  ],
  [
    "a metadata key twice",
    fileBytes('{"__metadata__":{"a":"1","a":"2"}}'),
    /__metadata__: expected each key once, received "a" twice/,
  ],
  [
    "a metadata value that is no string",
    fileBytes('{"__metadata__":{"a":1}}'),
    /expected a string, received '1'/,
  ],
  ["metadata that is a string", fileBytes('{"__metadata__":"a"}'), /expected '\{', received '"'/],
];
