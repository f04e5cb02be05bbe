const ACTION_KEY = '"action":';

/**
 * The action that a response names, as the reference reads it: everything from the first `"action":` on
 * is searched, without regard to case, for the labels, and counts if exactly one of them occurs. No JSON is
 * parsed and quotes do not matter. Without that key only the last character is searched.
 *
 * Source: Zhai et al. 2024 (arXiv 2405.10292), f of section 4.1, as their gym_cards code computes it.
 *
 * @param labels the actions' texts in lower case, by index
 * @returns the action's index, or `undefined` where no label or more than one occurs
 */
export function projectAction(response: string, labels: readonly string[]): number | undefined {
  const text = response.toLowerCase();
  const start = text.indexOf(ACTION_KEY);
  const searched = start === -1 ? text.slice(-1) : text.slice(start);
  const named = labels.flatMap((label, action) => (searched.includes(label) ? [action] : []));
  return named.length === 1 ? named[0] : undefined;
}
