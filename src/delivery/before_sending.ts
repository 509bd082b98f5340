// Asks whether a message may be sent at this moment.

import type { BeforeSending, NotSent, SendingProgress } from "./delivery.ts";
import { notOwned, notRecorded } from "./outcomes.ts";

/** @returns why the message must not be sent; undefined if it may be */
export async function reasonNotToSend(
  beforeSending: BeforeSending,
  progress: SendingProgress,
): Promise<NotSent | undefined> {
  try {
    return await beforeSending(progress) ? undefined : notOwned();
  } catch (error) {
    return notRecorded(error);
  }
}
