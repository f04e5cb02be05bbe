// Copies the compiled native module to where node-gyp-build looks for prebuilt ones, and checks that it loads there.
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");
const { platform, arch } = process;
const built = path.join(root, "build", "Release", "sightline.node");
if (!existsSync(built)) {
  process.stderr.write(
    "sightline: build/Release/sightline.node does not exist; build it with: npm run build\n",
  );
  process.exit(1);
}

/** On Linux a module works with the C library that it was linked against; elsewhere there is one. */
const libc =
  platform !== "linux" ? "" : process.report.getReport().header.glibcVersionRuntime ? ".glibc" : ".musl";
const prebuilt = path.join(root, "prebuilds", `${platform}-${arch}`, `sightline.napi${libc}.node`);
mkdirSync(path.dirname(prebuilt), { recursive: true });
copyFileSync(built, prebuilt);
createRequire(import.meta.url)(prebuilt);
process.stdout.write(`sightline: wrote ${path.relative(root, prebuilt)}\n`);
