/** A server whose connections are in memory, for tests of one connection. */
import assert from "node:assert/strict";
import type { ConnectionEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { ConnectionLimiter } from "../../src/server/connection_limiter.ts";
import { type Reply, reply } from "../../src/smtp/reply.ts";
import type { ReceivedMessage } from "../../src/submission/submission_service.ts";
import type { Timeouts } from "../../src/server/connection_deadline.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { MemoryRuntime } from "../support/memory_runtime.ts";
import { type ServerParts, smtpServer, type TestHandlers } from "../support/smtp_server.ts";

export const SENT = reply(250, "2.0.0", "OK id=1");
export const LOGGED_IN = reply(235, "2.7.0", "OK");
export const MAIL = "MAIL FROM:<a@example.com>";
export const RCPT = "RCPT TO:<b@example.org>";

interface Setup extends Partial<Omit<ServerParts, "handlers">> {
  readonly implicitTls?: boolean;
  readonly handlers?: TestHandlers;
  readonly timeouts?: Partial<Timeouts>;
  /** MAX_CONNECTIONS; no limit when left out. */
  readonly connections?: number;
}

export async function start(
  { implicitTls = false, handlers = {}, connections, ...parts }: Setup = {},
) {
  const runtime = new MemoryRuntime();
  const clock = new FakeClock();
  const events: RelayEvent[] = [];
  /** Messages under way, whose verdicts are the test's. */
  const messages: { message: ReceivedMessage; answer(reply: Reply): void }[] = [];
  const left: string[] = [];
  const answered: string[] = [];
  const limiter = connections === undefined
    ? undefined
    : new ConnectionLimiter({ connections, perAddress: 1_000, now: () => clock.now() });
  const server = await smtpServer({
    ...parts,
    runtime,
    clock,
    limiter: parts.limiter ?? limiter,
    handlers: {
      submit: (_, message) => {
        const { promise, resolve } = Promise.withResolvers<Reply>();
        messages.push({ message, answer: resolve });
        return promise;
      },
      abandoned: ({ envelope }, gone) => {
        left.push(envelope.from);
        void gone.then((isGone) => left.push(`${envelope.from} ${isGone ? "gone" : "there"}`));
      },
      answered: ({ envelope }) => void answered.push(envelope.from),
      ...handlers,
      notify(event) {
        events.push(event);
        handlers.notify?.(event);
      },
    },
  });
  server.listen("127.0.0.1", 0, implicitTls);
  const authed = async (address?: string) => {
    const client = runtime.client(address);
    assert.match(await client.logIn("user", "secret"), /^235 /);
    return client;
  };
  const ended = () =>
    events.filter((event): event is ConnectionEvent => event.type === "connection");
  return { server, runtime, clock, events, messages, left, answered, authed, ended };
}

/** A message in one chunk (RFC 3030), line by line. */
export const chunk = (from: string) => [`MAIL FROM:<${from}>`, RCPT, "BDAT 3 LAST", "x"] as const;
