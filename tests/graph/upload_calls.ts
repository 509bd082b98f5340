/** The requests of one delivery, with a token that must not get lost. */
import { type Calls, DeliveryCalls } from "../../src/graph/calls.ts";
import { type Clock, realClock } from "../../src/graph/clock.ts";
import type { HttpClient } from "../../src/http/client.ts";
import { accountWith, tokenOf } from "../support/submissions.ts";

export const TOKEN = "e30.e30.secret-of-the-token";

/** The machine's own time, but no pause before a request is repeated. */
const UNPAUSED: Clock = { ...realClock, sleep: () => Promise.resolve() };

/** @param time milliseconds for all of them */
export function callsWith(http: HttpClient, time = 10_000): Calls {
  return new DeliveryCalls({
    http,
    account: accountWith(tokenOf(TOKEN)),
    timeout: 5_000,
    deadline: UNPAUSED.now() + time,
    clock: UNPAUSED,
  });
}
