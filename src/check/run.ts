// Runs checks side by side, each with a deadline, and hands their findings out in order.

import { serviceWords } from "../service_text.ts";
import { type Finding, finding } from "./finding.ts";

export interface Check {
  readonly subject: string;
  /** Milliseconds, after which the other findings are printed without it. */
  readonly deadline: number;
  run(): Promise<readonly Finding[]>;
}

/** Runs all at once. An error in one hides no findings of the others. Yields in the order given. */
export async function* runChecks(checks: readonly Check[]): AsyncGenerator<Finding> {
  const running = checks.map((check) => runOne(check));
  for (const findings of running) yield* await findings;
}

async function runOne({ subject, deadline, run }: Check): Promise<readonly Finding[]> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<readonly Finding[]>((resolve) => {
    timer = setTimeout(() => {
      const what = `no result within ${deadline / 1000} s`;
      resolve([{ ...finding("check.deadline", what), subject }]);
    }, deadline);
  });
  try {
    return await Promise.race([run(), late]);
  } catch (error) {
    const what = serviceWords(
      error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    ) ?? "an error without a message";
    return [{ ...finding("check.error", what), subject }];
  } finally {
    clearTimeout(timer);
  }
}
