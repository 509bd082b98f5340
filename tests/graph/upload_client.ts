/** The requests of one delivery, with a token that must not be dropped. */
import { type Clock, realClock } from "../../src/clock.ts";
import {
  DeliveryClient,
  type GraphClient,
  type GraphClientOptions,
} from "../../src/graph/graph_client.ts";
import type { HttpClient } from "../../src/http/client.ts";
import { SCOPE } from "../support/logins.ts";
import { accountWith, tokenOf } from "../support/submissions.ts";

export const TOKEN = "e30.e30.secret-of-the-token";

/** The system clock, but no pause before a retry. */
const UNPAUSED: Clock = { ...realClock, sleep: () => Promise.resolve() };

/** @param time milliseconds for all of them */
export function clientWith(
  http: HttpClient,
  time = 10_000,
  beforeSending?: GraphClientOptions["beforeSending"],
): GraphClient {
  return new DeliveryClient({
    http,
    scope: SCOPE,
    authorization: accountWith(tokenOf(TOKEN)),
    timeout: 5_000,
    deadline: UNPAUSED.now() + time,
    clock: UNPAUSED,
    ...(beforeSending === undefined ? {} : { beforeSending }),
  });
}
