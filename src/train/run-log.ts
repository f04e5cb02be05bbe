import { closeSync, openSync } from "node:fs";
import { pino } from "pino";

/** The log of a run: one JSON object per line, with the time in milliseconds since 1970. */
export interface RunLog {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
  close(): void;
}

/** Opens a log file to append to. Lines are written at once, so that a kill loses none. */
export function openRunLog(path: string): RunLog {
  const file = openSync(path, "a");
  const logger = pino({ base: null }, pino.destination({ dest: file, sync: true }));
  return {
    info: (fields, message) => logger.info(fields, message),
    error: (fields, message) => logger.error(fields, message),
    close: () => closeSync(file),
  };
}
