const ACTION_KEY = '"action":';
/** The label that contains another one, "1". */
const TEN = "10";

/**
 * The action that a response names, as the reference reads it: everything from the first `"action":` on
 * is searched, without regard to case, for the labels, and counts if exactly one of them occurs. No JSON is
 * parsed and quotes do not matter. Without that key only the last character is searched. Where "10" is a label, its
 * occurrences name it and are then left out, so that they do not name "1" as well.
 *
 * Source: Zhai et al. 2024 (arXiv 2405.10292), f of section 4.1, as their gym_cards code computes it.
 *
 * @param labels the actions' texts in lower case, by index
 * @returns the action's index, or `undefined` where no label or more than one occurs
 */
export function projectAction(response: string, labels: readonly string[]): number | undefined {
  const text = response.toLowerCase();
  const start = text.indexOf(ACTION_KEY);
  const part = start === -1 ? text.slice(-1) : text.slice(start);
  const hasTen = labels.includes(TEN) && part.includes(TEN);
  const searched = hasTen ? part.replaceAll(TEN, "") : part;
  const named = labels.flatMap((label, action) =>
    searched.includes(label) || (hasTen && label === TEN) ? [action] : [],
  );
  return named.length === 1 ? named[0] : undefined;
}
