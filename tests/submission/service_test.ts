/**
 * The relay's own rules between SMTP and delivery, by its one public door: what an account may submit,
 * what counts against its limits, and what is reported.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type {
  Account,
  Authorization,
  LoginFailure,
  LoginResult,
} from "../../src/accounts/account.ts";
import { SenderRules } from "../../src/accounts/senders.ts";
import { usernameKey } from "../../src/accounts/username.ts";
import type { Attempt, NotSent, Outcome, Submission } from "../../src/delivery/delivery.ts";
import { LoginGuard } from "../../src/limits/login_guard.ts";
import type { Rate } from "../../src/limits/rate_limit.ts";
import type { RelayEvent } from "../../src/observe/relay_event.ts";
import { Secret } from "../../src/secret.ts";
import { ContentBuilder, lengthOf } from "../../src/smtp/content.ts";
import type { Refusal } from "../../src/smtp/effects.ts";
import { REPLIES, reply } from "../../src/smtp/reply.ts";
import { MessageLimit } from "../../src/submission/message_rate.ts";
import { RelayService, type TrustedOptions } from "../../src/submission/service.ts";
import type { Principal, ReceivedMessage } from "../../src/submission/submission_service.ts";
import { ACCOUNT, entryAccount } from "../support/events.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { USERNAME } from "../support/logins.ts";
import { MESSAGE } from "../support/submissions.ts";
import { WaitingTestClient } from "../support/waiting_client.ts";

const CLIENT = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };
const MINUTE = 60_000;
const OK = reply(250, "2.0.0", "OK");
const SENT: Outcome = { type: "sent", reply: OK };
const NOT_SENT = { ambiguous: false, code: "ErrorX", detail: "because" };
const LATER: Outcome = { ...NOT_SENT, type: "later", reply: reply(451, "4.3.2", "Later") };
const REFUSED: Outcome = { ...NOT_SENT, type: "refused", reply: reply(554, "5.6.0", "No") };
const DISABLED: LoginFailure = {
  type: "refused",
  reply: reply(550, "5.7.1", "This account is disabled in the lookup"),
  detail: "disabled",
};
const TRUSTED: TrustedOptions = {
  credentials: { mechanism: "PLAIN", username: "scanner@lookup", password: new Secret("x") },
  limited: false,
};

interface Setup {
  /** What a login gives. */
  readonly account?: Account;
  readonly failure?: LoginFailure;
  /** The account as its entry is at the time of a message. */
  readonly refresh?: (account: Account, authorization?: Authorization) => Account | LoginFailure;
  /** What becomes of a message. */
  readonly deliver?: (submission: Submission, attempt: Attempt) => Promise<Outcome> | Outcome;
  readonly messageRate?: Rate;
  readonly authRate?: Rate;
  readonly trusted?: TrustedOptions;
}

/** A client's own token: not verified at first, and what the mail service says of it later. */
interface Token {
  unverified: string | undefined;
  refused: boolean;
}

function start(setup: Setup = {}) {
  const { account = ACCOUNT, failure, deliver = () => SENT } = setup;
  const clock = new FakeClock();
  const events: RelayEvent[] = [];
  const submissions: Submission[] = [];
  const readAgain: string[] = [];
  const token: Token = { unverified: undefined, refused: false };
  const authorization = {
    token: () => Promise.reject(new Error("no token is needed here")),
    reject() {},
    confirm() {},
    unverified: () => token.unverified,
    expiry: () => token.refused ? reply(451, "4.7.0", "Log in again") : undefined,
  };
  const result: LoginResult = failure ??
    { type: "account", account, authorization, reply: REPLIES.authenticated };
  const login = () => Promise.resolve(result);
  const accounts = {
    login,
    refresh: (latest: Account, authorization?: Authorization) =>
      Promise.resolve(setup.refresh?.(latest, authorization) ?? account),
    readAgain: (username: string) => void readAgain.push(username),
  };
  const service = new RelayService({
    logins: {
      accounts,
      guard: new LoginGuard({
        rate: setup.authRate ?? "off",
        accountOf: (username) => usernameKey(username, "@"),
        login,
        clock,
      }),
      senders: new SenderRules(),
      delimiter: "@",
      trusted: setup.trusted,
    },
    messages: {
      hostname: "relay.test",
      limit: setup.messageRate && new MessageLimit(setup.messageRate, clock),
    },
    delivery: {
      async deliver(submission, attempt) {
        submissions.push(submission);
        return await deliver(submission, attempt);
      },
    },
    notify: (event) => void events.push(event),
  });
  const credentials = {
    mechanism: "PLAIN",
    username: USERNAME,
    password: new Secret("a secret"),
  } as const;
  const logIn = async (): Promise<Principal> => {
    const { principal } = await service.authenticate(credentials, CLIENT);
    assert.ok(principal !== undefined);
    return principal;
  };
  const ofType = <Type extends RelayEvent["type"]>(type: Type) =>
    events.filter((event): event is Extract<RelayEvent, { type: Type }> => event.type === type);
  return { service, clock, events, ofType, submissions, readAgain, token, credentials, logIn };
}

function message(part: Partial<ReceivedMessage["facts"]> = {}): ReceivedMessage {
  return {
    envelope: { from: "ann@x.test", recipients: ["bea@x.test", "bcc@x.test"] },
    content: [Uint8Array.from(MESSAGE)],
    facts: { helo: "printer", esmtp: true, tls: true, smtputf8: false, ...part },
    client: CLIENT,
    receiving: 0,
  };
}

const submit = (service: RelayService, principal: Principal, sent = message()) =>
  service.submit(principal, sent, new WaitingTestClient());

describe("a login", () => {
  it("gives a principal with its reply, and an event with the username that may be shown", async () => {
    const { service, credentials, ofType } = start();
    const { reply, principal } = await service.authenticate(credentials, CLIENT);
    assert.equal(reply, REPLIES.authenticated);
    assert.deepEqual(principal?.account, ACCOUNT);
    const [event] = ofType("login");
    assert.deepEqual([event?.credentials.username, event?.trusted], [USERNAME, false]);
    assert.equal(event?.result, principal);
  });

  it("gives the principal that sessions hold already where it is the same login", async () => {
    const { service, credentials, logIn } = start();
    const first = await logIn();
    assert.equal(await logIn(), first);
    const username = credentials.username.toUpperCase();
    const other = await service.authenticate({ ...credentials, username }, CLIENT);
    assert.equal(other.principal?.username, username);
  });

  it("gives a principal of its own where an entry may change, or the token is not verified", async () => {
    const ofEntry = start({ account: { ...ACCOUNT, entry: { id: "a", foundBy: "id" } } });
    assert.notEqual(await ofEntry.logIn(), await ofEntry.logIn());
    const ofToken = start();
    ofToken.token.unverified = "token";
    assert.notEqual(await ofToken.logIn(), await ofToken.logIn());
  });

  it("that fails gives the reply alone, and an event that says why", async () => {
    const failure: LoginFailure = {
      type: "refused",
      reply: reply(535, "5.7.8", "No"),
      detail: "because",
    };
    const { service, credentials, ofType } = start({ failure });
    assert.deepEqual(await service.authenticate(credentials, CLIENT), { reply: failure.reply });
    assert.equal(ofType("login")[0]?.result, failure);
  });

  it("never shows a secret that was typed into the field of the username", async () => {
    const { service, ofType } = start();
    const username = "Q~8aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789a";
    const credentials = { mechanism: "PLAIN", username, password: new Secret("x") } as const;
    await service.authenticate(credentials, CLIENT);
    assert.doesNotMatch(ofType("login")[0]!.credentials.username, /aBcDeF/);
  });

  it("over AUTH_RATE_LIMIT is refused by a limit, not by a login event", async () => {
    const failure: LoginFailure = {
      type: "refused",
      reply: reply(535, "5.7.8", "No"),
      detail: "because",
    };
    const { service, ofType } = start({ failure, authRate: { most: 1, window: MINUTE } });
    const guess = (password: string) =>
      service.authenticate(
        { mechanism: "PLAIN", username: USERNAME, password: new Secret(password) },
        CLIENT,
      );
    await guess("one");
    const { reply: refusal } = await guess("two");
    assert.equal(refusal, REPLIES.tooManyFailedLogins);
    assert.equal(ofType("login").length, 1);
    assert.deepEqual(ofType("limit").map(({ setting }) => setting), ["AUTH_RATE_LIMIT"]);
  });
});

describe("a message", () => {
  it("is delivered as it came, with its account as data, and its outcome is the reply", async () => {
    const { service, logIn, submissions, ofType } = start();
    const principal = await logIn();
    const sent = message();
    assert.equal(await submit(service, principal, sent), OK);
    const [submission] = submissions;
    assert.deepEqual(submission?.account, ACCOUNT);
    assert.equal(submission?.envelope, sent.envelope);
    assert.equal(submission?.content, sent.content);
    assert.equal(submission?.client, CLIENT.address);
    assert.match(submission!.id, /^[0-9a-f]{16}$/);
    const [event] = ofType("message");
    assert.equal(event?.submission, submission);
    assert.deepEqual([event?.outcome, event?.client], [SENT, CLIENT]);
    assert.equal(event?.principal, principal);
  });

  it("gets its delivery the session's authorization, and the client that waits", async () => {
    let attempt: Attempt | undefined;
    const { service, logIn } = start({
      deliver: (_, given) => {
        attempt = given;
        return SENT;
      },
    });
    const principal = await logIn();
    const waiting = new WaitingTestClient();
    await service.submit(principal, message(), waiting);
    assert.equal(attempt?.authorization, principal.authorization);
    assert.equal(attempt?.client, waiting);
  });

  it("gives back its memory with the verdict, and not before", async () => {
    for (const fails of [false, true]) {
      const { service, logIn } = start({
        deliver: ({ content }) => {
          assert.equal(lengthOf(content), 100_000);
          if (fails) throw new Error("a fault");
          return SENT;
        },
      });
      // What the segment's memory is all of, as it came from a socket.
      const segment = new Uint8Array(100_000).fill(65);
      const builder = new ContentBuilder();
      builder.append(segment);
      const verdict = submit(service, await logIn(), { ...message(), content: builder.finish() });
      await (fails ? assert.rejects(verdict, /a fault/) : verdict);
      assert.equal(segment.length, 0);
    }
  });
});

describe("an account of the lookup table", () => {
  const account = entryAccount("scanner");

  it("is refreshed before each message: what the entry says now is delivered", async () => {
    const now = { ...account, fromEmail: "scanner@x.test" };
    const { service, logIn, submissions } = start({ account, refresh: () => now });
    const principal = await logIn();
    await submit(service, principal);
    assert.deepEqual(submissions.map(({ account }) => account), [now]);
  });

  it("that has been disabled sends no more in an open session", async () => {
    const { service, logIn, submissions, ofType } = start({ account, refresh: () => DISABLED });
    const principal = await logIn();
    assert.equal(await submit(service, principal), DISABLED.reply);
    assert.deepEqual(submissions, []);
    const [event] = ofType("message");
    assert.deepEqual(
      [event?.outcome.type, (event?.outcome as NotSent).code],
      ["refused", "LOOKUP_ENTRY"],
    );
  });

  it("is refreshed with what the session has logged in with, for MAIL and for the message", async () => {
    const given: unknown[] = [];
    const refresh = (account: Account, authorization?: Authorization) => {
      given.push(authorization);
      return account;
    };
    const listed = { ...account, allowedSenders: "nobody@x.test" };
    const { service, logIn } = start({ account: listed, refresh });
    const principal = await logIn();
    assert.equal(principal.checkSender("ann@x.test")?.code, 550);
    await submit(service, principal);
    assert.deepEqual(given, [principal.authorization, principal.authorization]);
  });

  it("is not refreshed where it has no entry", async () => {
    let refreshed = 0;
    const refresh = () => {
      refreshed++;
      return ACCOUNT;
    };
    const { service, logIn } = start({ refresh });
    await submit(service, await logIn());
    assert.equal(refreshed, 0);
  });
});

describe("MESSAGE_RATE_LIMIT", () => {
  const messageRate = { most: 1, window: MINUTE };

  for (
    const [name, outcome, counts] of [
      ["a message that was sent", SENT, true],
      ["one that may have been sent", { ...LATER, ambiguous: true }, true],
      ["one that was deferred", LATER, false],
      ["one that was refused", REFUSED, false],
      ["one that was sent before", { type: "alreadySent", reply: OK, id: "x" }, false],
    ] as const
  ) {
    it(`${counts ? "counts" : "does not count"} ${name}`, async () => {
      const { service, logIn, clock } = start({ messageRate, deliver: () => outcome });
      const principal = await logIn();
      await submit(service, principal);
      const second = await submit(service, principal);
      assert.equal(second, counts ? REPLIES.tooManyMessages : outcome.reply);
      assert.equal(
        principal.checkSender("ann@x.test"),
        counts ? REPLIES.tooManyMessages : undefined,
      );
      clock.pass(MINUTE);
      assert.equal(await submit(service, principal), outcome.reply);
    });
  }

  it("counts a message that a fault may have hidden", async () => {
    const { service, logIn } = start({
      messageRate,
      deliver: () => {
        throw new Error("a fault");
      },
    });
    const principal = await logIn();
    await assert.rejects(submit(service, principal), /a fault/);
    assert.equal(await submit(service, principal), REPLIES.tooManyMessages);
  });

  it("counts a message while it is under way, and reports what it has refused", async () => {
    const pending = Promise.withResolvers<Outcome>();
    const { service, logIn, submissions, ofType } = start({
      messageRate,
      deliver: () => pending.promise,
    });
    const principal = await logIn();
    const first = submit(service, principal);
    assert.equal(await submit(service, principal), REPLIES.tooManyMessages);
    pending.resolve(SENT);
    await first;
    assert.equal(submissions.length, 1);
    const [limit] = ofType("limit");
    assert.deepEqual([limit?.setting, limit?.principal], ["MESSAGE_RATE_LIMIT", principal]);
    assert.equal(ofType("message").length, 2);
  });

  it("refuses MAIL for the limit after what the account's own rules refuse", async () => {
    const account = { ...ACCOUNT, allowedSenders: "ann@x.test" };
    const { service, logIn } = start({ account, messageRate });
    const principal = await logIn();
    await submit(service, principal);
    assert.equal(principal.checkSender("bob@x.test"), REPLIES.senderNotInEntry);
    assert.equal(principal.checkSender("ann@x.test"), REPLIES.tooManyMessages);
  });
});

describe("an account's share", () => {
  it("is a known account's once the mail service has accepted a message, and not before", async () => {
    const outcomes = [REFUSED, LATER, { ...LATER, ambiguous: true }, SENT];
    const { service, logIn } = start({ deliver: () => outcomes.shift()! });
    const principal = await logIn();
    for (const known of [false, false, false, true]) {
      await submit(service, principal);
      assert.equal(principal.owner.known, known);
    }
    assert.equal((await logIn()).owner.known, true);
  });
});

describe("a client's own token", () => {
  it("that the mail service refuses counts as a failed login of the client's address", async () => {
    const { service, logIn, token, credentials } = start({
      authRate: { most: 1, window: MINUTE },
      deliver: () => {
        token.refused = true;
        return LATER;
      },
    });
    token.unverified = "a token";
    await submit(service, await logIn());
    const other = { ...credentials, password: new Secret("another") };
    const { reply } = await service.authenticate(other, CLIENT);
    assert.equal(reply, REPLIES.tooManyFailedLogins);
  });

  it("that is not refused, whatever becomes of the message, is no failed login", async () => {
    for (const outcome of [SENT, LATER, REFUSED]) {
      for (const claimed of [true, false]) {
        const { service, logIn, token, credentials } = start({
          authRate: { most: 1, window: MINUTE },
          deliver: () => outcome,
        });
        token.unverified = claimed ? "a token" : undefined;
        await submit(service, await logIn());
        const other = { ...credentials, password: new Secret("another") };
        const { reply } = await service.authenticate(other, CLIENT);
        assert.equal(reply, REPLIES.authenticated);
      }
    }
  });

  it("keeps its owner apart from the verified account's, until it is verified", async () => {
    const { service, logIn, token } = start();
    token.unverified = "a token";
    const claimed = await logIn();
    await submit(service, claimed);
    assert.equal(claimed.owner.known, true);
    token.unverified = undefined;
    const verified = await logIn();
    assert.notEqual(claimed.owner.key, verified.owner.key);
    assert.equal(verified.owner.known, false);
  });
});

describe("a trusted client", () => {
  const account = { ...entryAccount("scanner"), fromEmail: "scanner@x.test" };

  it("sends as TRUSTED_USERNAME, and its login event says so", async () => {
    const { service, ofType } = start({ account, trusted: TRUSTED });
    const { principal } = await service.authenticate("trusted", CLIENT);
    assert.deepEqual(principal?.account, account);
    assert.equal(ofType("login")[0]?.trusted, true);
  });

  it("gets no account that is bound to no sender; the entry is read again for the next", async () => {
    const { service, readAgain } = start({ account: entryAccount("scanner"), trusted: TRUSTED });
    const { reply, principal } = await service.authenticate("trusted", CLIENT);
    assert.equal(principal, undefined);
    assert.deepEqual([reply.code, reply.enhanced], [550, "5.7.1"]);
    assert.deepEqual(readAgain, ["scanner@lookup"]);
  });

  it("sends no more once its entry has lost its from_email", async () => {
    const refresh = () => entryAccount("scanner");
    const { service, submissions } = start({ account, refresh, trusted: TRUSTED });
    const { principal } = await service.authenticate("trusted", CLIENT);
    const { code } = await submit(service, principal!, message({ trusted: true }));
    assert.equal(code, 550);
    assert.deepEqual(submissions, []);
    // A login of its own is bound by nothing but its entry.
    assert.equal(await submit(service, principal!), OK);
  });

  it("is a bug where there is no account for it", async () => {
    const { service } = start();
    await assert.rejects(service.authenticate("trusted", CLIENT), /no account/);
  });
});

describe("what the session refuses by itself", () => {
  const refusal = (part: Partial<Refusal>): Refusal => ({
    command: "MAIL",
    reply: REPLIES.tooBig,
    authenticated: true,
    ...part,
  });

  for (
    const [name, answer, limit] of [
      ["a message that is too big", REPLIES.tooBig, "MAX_MESSAGE_SIZE"],
      ["too many recipients", REPLIES.tooManyRecipients, "MAX_RECIPIENTS"],
      ["a sender that is not allowed", REPLIES.senderNotAllowed, undefined],
    ] as const
  ) {
    it(`is reported with the setting that holds the limit: ${name}`, async () => {
      const { service, logIn, ofType } = start();
      const principal = await logIn();
      service.refused(refusal({ reply: answer }), CLIENT, principal);
      const [event] = ofType("refused");
      assert.deepEqual([event?.limit, event?.principal], [limit, principal]);
    });
  }

  it("is reported as a limit where it is MESSAGE_RATE_LIMIT", async () => {
    const { service, logIn, ofType } = start();
    const principal = await logIn();
    service.refused(refusal({ reply: REPLIES.tooManyMessages }), CLIENT, principal);
    assert.deepEqual(ofType("refused"), []);
    assert.deepEqual(ofType("limit")[0]?.setting, "MESSAGE_RATE_LIMIT");
  });

  it("counts malformed credentials as failed logins of the address", () => {
    const { service, ofType } = start({ authRate: { most: 2, window: MINUTE } });
    for (const tried of ["one", "two", "three"]) {
      const malformed = refusal({ command: "AUTH", reply: REPLIES.notUtf8, authenticated: false });
      service.refused({ ...malformed, tried: new Secret(tried) }, CLIENT, undefined);
    }
    assert.equal(ofType("refused").length, 2);
    const [limit, ...more] = ofType("limit");
    assert.deepEqual([limit?.setting, more], ["AUTH_RATE_LIMIT", []]);
    assert.match(limit!.text, /malformed credentials, and too many failed logins/);
  });
});
