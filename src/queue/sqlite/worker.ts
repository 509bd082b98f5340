// The worker of the store: has the database, and does everything that waits for the disk. Started by
// `openSqliteQueue` with the database's path; ends by itself after `close`, because ending it from
// outside while it holds a database can crash one runtime.

import {
  isMainThread,
  type MessagePort as Port,
  parentPort,
  workerData,
} from "node:worker_threads";
import { DatabaseSync } from "node:sqlite";
import { QueueDatabase } from "./database.ts";
import { factsOf, storeError } from "./errors.ts";
import { filesOf } from "./files.ts";
import { type OpenQueue, openQueue } from "./open_queue.ts";
import type { Request, Response, Result } from "./protocol.ts";

/** Milliseconds from a request to the tidying after it. */
const PAUSE = 1000;
/** Requests since the last tidying up to which the store counts as idle. */
const FEW = 20;

if (!isMainThread && parentPort !== null) serve(parentPort, workerData as string);

function serve(port: Port, path: string): void {
  const files = filesOf(path);
  const answer = (response: Response) => port.postMessage(response);
  let queue: OpenQueue | undefined;
  let database: QueueDatabase;
  try {
    queue = openQueue({ DatabaseSync }, files);
    database = new QueueDatabase(queue.db, files, queue.reserve);
    answer({ opened: database.totals });
  } catch (error) {
    queue?.db.close();
    queue?.unlock();
    answer({ refused: factsOf(storeError(path, error)) });
    // Nothing is left to wait for: the thread ends.
    return;
  }

  let timer: ReturnType<typeof setTimeout> | undefined;
  let requests = 0;
  const tidyLater = (pause: number) => {
    timer ??= setTimeout(() => {
      timer = undefined;
      const next = database.tidy(requests <= FEW);
      requests = 0;
      if (next !== undefined) tidyLater(next);
    }, pause);
  };
  const listen = (request: Request) => {
    if ("close" in request) {
      // With nothing left to wait for, the thread ends. One runtime's port has no `close`.
      clearTimeout(timer);
      port.off("message", listen);
      port.unref();
      database.close();
      queue.unlock();
      answer({ closed: true });
      return;
    }
    requests++;
    const results = database.run(request.operations);
    port.postMessage({ results, totals: database.totals } satisfies Response, large(results));
    database.checkpoint();
    tidyLater(PAUSE);
  };
  port.on("message", listen);
}

/** Contents go over to the other thread without a copy. */
function large(results: readonly Result[]): ArrayBuffer[] {
  return results.flatMap((result) =>
    "value" in result && result.value instanceof ArrayBuffer ? [result.value] : []
  );
}
