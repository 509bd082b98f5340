// A session's requests to the submission service: logins and messages, one at a time. A message may
// outlive its client and its connection.

import type { Effect } from "../smtp/effects.ts";
import type { Reply } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type {
  Client,
  Login,
  Principal,
  SubmissionService,
} from "../submission/submission_service.ts";
import type { Slot } from "./connection_limiter.ts";
import { PendingSubmission } from "./pending_submission.ts";

/** The connection that makes the requests. */
export interface RequestOwner {
  readonly client: Client;
  readonly slot: Slot | undefined;
  /** A login has its result. */
  loggedIn(login: Login): void;
  /** A message has its final reply; undefined after a fault. */
  submitted(reply: Reply | undefined, pending: PendingSubmission): void;
  failed(error: unknown): void;
}

export class ConnectionRequests {
  readonly #service: SubmissionService;
  readonly #owner: RequestOwner;
  #principal: Principal | undefined;
  #pending: PendingSubmission | undefined;
  #left: PendingSubmission | undefined;

  constructor(service: SubmissionService, owner: RequestOwner) {
    this.#service = service;
    this.#owner = owner;
  }

  /** The account that the client has logged in as. */
  get principal(): Principal | undefined {
    return this.#principal;
  }

  /** The message that is being submitted. */
  get pending(): PendingSubmission | undefined {
    return this.#pending;
  }

  /** The message whose client has left before its reply. */
  get left(): PendingSubmission | undefined {
    return this.#left;
  }

  /** The client has gone, or has ended its side: it will most likely not read the reply. */
  clientLeft(): void {
    if (this.#pending === undefined) return;
    this.#left = this.#pending;
    this.#pending.clientLeft();
  }

  async authenticate(credentials: Credentials | "trusted"): Promise<void> {
    const { slot, client } = this.#owner;
    slot?.pin();
    try {
      const login = await this.#service.authenticate(credentials, client);
      const { principal } = login;
      if (principal !== undefined) this.#principal = principal;
      // A client with an unverified token does not count as logged in until a message is accepted.
      if (principal !== undefined && principal.authorization.unverified() === undefined) {
        slot?.authenticated(principal.owner);
      } else slot?.unpin();
      this.#owner.loggedIn(login);
    } catch (error) {
      this.#owner.failed(error);
    }
  }

  /**
   * @param hasLeft whether the client has already ended its side
   * @param receiving milliseconds in which the content came
   */
  async submit(
    effect: Extract<Effect, { type: "submit" }>,
    hasLeft: boolean,
    receiving: number,
  ): Promise<void> {
    const { slot, client } = this.#owner;
    const { envelope, content, facts, reservation } = effect;
    const message = { envelope, content, facts, client, receiving };
    const pending = this.#pending = new PendingSubmission(message, reservation, (isWaiting) => {
      slot?.setActivity(isWaiting ? "waiting" : "busy");
    });
    // The client waits for the relay, even if its token is unverified.
    slot?.pin();
    if (hasLeft) this.leave();
    let reply: Reply | undefined;
    try {
      const principal = this.#principal;
      if (principal === undefined) throw new Error("a message was submitted without an account");
      reply = await this.#service.submit(principal, message, pending);
      // An accepted message verifies the token of a client that has brought its own.
      if (reply.code < 300) slot?.authenticated(principal.owner);
      else slot?.unpin();
    } catch (error) {
      reply = undefined;
      this.#owner.failed(error);
    }
    this.#pending = undefined;
    pending.release();
    this.#owner.submitted(reply, pending);
  }

  /** Other connections may have the slot, although the message goes on. */
  leave(): void {
    if (this.#pending === undefined) return;
    this.clientLeft();
    this.#owner.slot?.retire();
  }
}
