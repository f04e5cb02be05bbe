/** Ctrl-C and SIGTERM as an AbortSignal. */

/** How a command ends that was interrupted, as shells have it for SIGINT. */
export const INTERRUPTED_EXIT_CODE = 130;

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/**
 * Runs work that can be aborted. The first SIGINT or SIGTERM aborts its signal, after which it may still tidy
 * up; the second one ends the process at once, as if nobody had listened.
 *
 * @param notify called at the first
 */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
  notify: () => void,
): Promise<T> {
  const controller = new AbortController();
  const listen = (): void => {
    stopListening();
    notify();
    controller.abort();
  };
  const stopListening = (): void => {
    for (const name of SIGNALS) process.off(name, listen);
  };
  for (const name of SIGNALS) process.on(name, listen);
  try {
    return await work(controller.signal);
  } finally {
    stopListening();
  }
}
