import { rename, writeFile } from "node:fs/promises";

/** Writes a file so that it never exists in part: under another name, flushed to disk, then renamed. */
export async function writeWhole(path: string, content: string): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, content, { flush: true });
  await rename(temporary, path);
}
