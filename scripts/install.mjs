// The package's "install" script: keeps a native module that loads, else compiles one.
//   SIGHTLINE_SKIP_NATIVE=1       do nothing
//   SIGHTLINE_BUILD_FROM_SOURCE=1 compile even if a module is there (npm's --build-from-source does the same)
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, "..");
const { env, execPath } = process;
const say = (text) => process.stdout.write(`sightline: ${text}\n`);

/** The file that loads from build/Release or prebuilds, if one does. */
function findModule() {
  // In a child, so that a file that crashes while it loads does not take the installation with it.
  const program =
    "const load = require(process.argv[1]); load(process.argv[2]); process.stdout.write(load.path(process.argv[2]))";
  const child = spawnSync(execPath, ["-e", program, require.resolve("node-gyp-build"), root], {
    encoding: "utf8",
  });
  return child.status === 0 ? child.stdout : undefined;
}

function compile() {
  const { status } = spawnSync(execPath, [require.resolve("cmake-js/bin/cmake-js"), "compile"], {
    cwd: root,
    stdio: "inherit",
    env: { CMAKE_BUILD_PARALLEL_LEVEL: String(os.availableParallelism()), ...env },
  });
  if (status !== 0) {
    say(
      "compiling the native module failed. It needs a C++20 compiler (GCC 11, Clang 14 or newer), CMake 3.22 or newer, " +
        "and make or ninja. SIGHTLINE_SKIP_NATIVE=1 installs the package without it.",
    );
    process.exit(status ?? 1);
  }
}

const fromSource = env.npm_config_build_from_source === "true" || env.SIGHTLINE_BUILD_FROM_SOURCE === "1";
if (env.SIGHTLINE_SKIP_NATIVE === "1") {
  say("the native module is skipped because SIGHTLINE_SKIP_NATIVE is set");
} else {
  const file = fromSource ? undefined : findModule();
  if (file) say(`uses ${path.relative(root, file)} as it is; SIGHTLINE_BUILD_FROM_SOURCE=1 compiles it anew`);
  else compile();
}
