/** 1 to 10. */
export function cardValue(name: string): number {
  const rank = name[1]!;
  return rank === "A" ? 1 : "TJQK".includes(rank) ? 10 : Number(rank);
}
