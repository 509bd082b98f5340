// The note that only the right key opens. The relay leaves it at each start, so that a wrong QUEUE_KEY is
// found at the start, also while the queue is empty.

import { type Sealer, SealError } from "./sealing.ts";
import type { Notes } from "./store.ts";

export const KEY_NOTE = "key";

/**
 * Why the note of the queue cannot be opened; undefined if it can, or if there is none.
 *
 * @throws StoreError
 */
export async function keyProblem(
  { notes }: { readonly notes: Pick<Notes, "get"> },
  sealer: Sealer,
): Promise<SealError["reason"] | undefined> {
  const sealed = await notes.get(KEY_NOTE);
  try {
    if (sealed !== undefined) sealer.open(sealed, KEY_NOTE);
    return undefined;
  } catch (error) {
    if (!(error instanceof SealError)) throw error;
    return error.reason;
  }
}
