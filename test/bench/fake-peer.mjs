// A peer for tests: speaks the protocol of bench/README.md, and breaks it in the way that argv[2] names.
import { createInterface } from "node:readline";

const fault = process.argv[2];
let runs = 0;

function answer({ op, case: name, settings, threads }) {
  switch (op) {
    case "hello":
      return { name: "Fake", version: "1.2", threads };
    case "open":
      if (name !== "matmul") return { unsupported: `case ${name}` };
      return settings.m > 100 ? { error: "too large" } : { handle: settings.m };
    case "check":
      return { values: { loss: 0.5 } };
    case "run":
      return { seconds: ++runs };
    case "memory":
      return { peakBytes: 1000 };
    default:
      return {};
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (fault === `${request.op}-dies`) {
    process.stderr.write("out of luck\n");
    process.exit(3);
  }
  if (fault === `${request.op}-hangs`) continue;
  if (fault === `${request.op}-garbage`) process.stdout.write("a stray print\n");
  else if (fault === `${request.op}-wrong`) process.stdout.write('{"second":1}\n');
  else process.stdout.write(`${JSON.stringify(answer(request))}\n`);
}
