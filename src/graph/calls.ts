// One delivery's requests to Graph: with its token, inside its deadline, and repeated only where the
// service surely took nothing.

import type { Account } from "../accounts/accounts.ts";
import type { Outcome } from "../delivery/outcome.ts";
import type { HttpAnswer, HttpClient, HttpFailure, RequestBody } from "../http/client.ts";

export interface GraphCall {
  readonly method: "POST" | "PUT" | "GET" | "DELETE";
  readonly url: URL;
  /** Besides Authorization. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Whether the account's token goes with it: upload URLs carry their own right, and must not get it. */
  readonly authorized: boolean;
  /** Whether the message may be on its way after it: then doubt about the answer is ambiguous. */
  readonly sends: boolean;
}

/** What became of a call, after all repeats. */
export type CallResult =
  /** One of the expected statuses. */
  | { readonly type: "answer"; readonly answer: HttpAnswer }
  /** Anything else, with what the client would be told; and what there was to judge by. */
  | {
    readonly type: "failed";
    readonly outcome: Exclude<Outcome, { type: "sent" }>;
    readonly result?: HttpAnswer | HttpFailure;
  };

export interface CallsOptions {
  readonly http: HttpClient;
  readonly account: Account;
  /** Milliseconds for one request. */
  readonly timeout: number;
  /** When the delivery has to be over, as `Date.now` tells. */
  readonly deadline: number;
}

/** The requests of one delivery. */
export interface Calls {
  call(call: GraphCall, expected: readonly number[]): Promise<CallResult>;
}
