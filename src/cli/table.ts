/** Rows of text, the first the head, as lines with aligned columns: the first to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map(([name, ...values]) =>
      [name!.padEnd(widths[0]!), ...values.map((value, i) => value.padStart(widths[i + 1]!))].join("  "),
    )
    .join("\n");
}
