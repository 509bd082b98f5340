/** The way of a message as the settings ask for it: each of them changes what is sent, or what is not. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "node:test";
import type { Row } from "../../src/accounts/entry.ts";
import type { EntrySource, TableTrouble } from "../../src/accounts/entry_source.ts";
import type { Outcome } from "../../src/delivery/delivery.ts";
import type { HttpFailure, HttpRequest, HttpResponse } from "../../src/http/client.ts";
import type { RelayEvent } from "../../src/observe/relay_event.ts";
import { buildSubmissions } from "../../src/relay/submission.ts";
import { Secret } from "../../src/secret.ts";
import type { Content } from "../../src/smtp/content.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import type { Credentials } from "../../src/smtp/sasl.ts";
import type { Principal } from "../../src/submission/submission_service.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { plainSettings } from "../support/settings.ts";
import { MESSAGE } from "../support/submissions.ts";
import { WaitingTestClient } from "../support/waiting_client.ts";

type Result = HttpResponse | HttpFailure;

const PEER = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };
const ABORTED: HttpFailure = { type: "failure", sent: true, code: "ABORTED", message: "aborted" };

function respond(status: number, body: unknown = ""): HttpResponse {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { type: "response", status, headers: new Map(), body: Buffer.from(text) };
}

const CLAIMS = Buffer.from(JSON.stringify({ roles: ["Mail.Send"] })).toString("base64url");
const TOKEN = respond(200, {
  token_type: "Bearer",
  expires_in: 3599,
  access_token: `e30.${CLAIMS}.x`,
});

/** Entra ID, which grants everything, and Graph, which answers when the test says so. */
class Services {
  readonly asked: HttpRequest[] = [];
  readonly tokens: HttpRequest[] = [];
  /** Graph's answer to what comes next; undefined where the test gives it later. */
  next: Result | undefined = respond(202);
  refuse = false;
  readonly #open = new Set<(result: Result) => void>();

  request(request: HttpRequest): Promise<Result> {
    if (request.url.hostname === "entra.test") {
      this.tokens.push(request);
      const refusal = { error: "invalid_client", error_description: "AADSTS7000215: wrong" };
      return Promise.resolve(this.refuse ? respond(401, refusal) : TOKEN);
    }
    this.asked.push(request);
    if (this.next !== undefined) return Promise.resolve(this.next);
    return new Promise((resolve) => this.#open.add(resolve));
  }

  /** As the HTTP client's: what is under way fails. */
  abort(): void {
    this.answer(ABORTED);
  }

  answer(result: Result): void {
    for (const resolve of this.#open) resolve(result);
    this.#open.clear();
  }
}

/** Entries that a test may change, or a table that gives none. */
class Table implements EntrySource {
  trouble: TableTrouble | undefined;
  asked = 0;
  readonly rows = new Map<string, Row["columns"]>();

  find(id: string) {
    this.asked++;
    const columns = this.rows.get(id);
    return Promise.resolve(this.trouble ?? (columns === undefined ? undefined : { id, columns }));
  }

  findByClient() {
    this.asked++;
    return Promise.resolve(this.trouble ?? []);
  }
}

function start(environment: Readonly<Record<string, string>> = {}, entries?: Table) {
  const services = new Services();
  const clock = new FakeClock();
  clock.patient = true;
  const events: RelayEvent[] = [];
  const built = buildSubmissions({
    settings: plainSettings({
      AZURE_AUTHORITY_HOST: "https://entra.test",
      GRAPH_ENDPOINT: "https://graph.test",
      ...environment,
    }),
    http: services,
    notify: (event) => void events.push(event),
    entries,
    clock,
  });
  const { service } = built;
  const credentials = (username = USERNAME, password = "a secret"): Credentials => ({
    mechanism: "PLAIN",
    username,
    password: new Secret(password),
  });
  const login = (username?: string, password?: string) =>
    service.authenticate(credentials(username, password), PEER);
  const logIn = async (username?: string): Promise<Principal> => {
    const { reply, principal } = await login(username);
    assert.ok(principal !== undefined, formatReply(reply));
    return principal;
  };
  const submit = (
    principal: Principal,
    content: Content = [Uint8Array.from(MESSAGE)],
    waiting = new WaitingTestClient(),
  ) =>
    service.submit(principal, {
      envelope: { from: "ann@x.test", recipients: ["bea@x.test"] },
      content,
      facts: { helo: "printer", esmtp: true, tls: true, smtputf8: false },
      client: PEER,
      receiving: 0,
    }, waiting).then((reply) => formatReply(reply).trimEnd());
  const outcomes = (): Outcome[] =>
    events.flatMap((event) => event.type === "message" ? [event.outcome] : []);
  const types = () => events.map(({ type }) => type);
  return { ...built, services, clock, events, types, login, logIn, submit, outcomes };
}

/** Waits until something that needs no time has happened. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    assert.ok(turn < 1_000, "it does not happen");
    await setImmediate();
  }
}

function sentText({ body }: HttpRequest): string {
  const base64 = [...body!.parts()].map((part) =>
    typeof part === "string" ? part : Buffer.from(part).toString("latin1")
  ).join("");
  return Buffer.from(base64, "base64").toString("latin1");
}

describe("a message of an account", () => {
  it("is sent to GRAPH_ENDPOINT with a token of AZURE_AUTHORITY_HOST for its scope", async () => {
    const { services, logIn, submit } = start({ GRAPH_HTTP_TIMEOUT: "17" });
    assert.match(await submit(await logIn()), /^250 2\.0\.0 OK id=[0-9a-f]{16}$/);
    const [token] = services.tokens;
    assert.equal(token?.url.href.split("?")[0], `https://entra.test/${TENANT}/oauth2/v2.0/token`);
    const form = [...token!.body!.parts()].map((part) => String(part)).join("");
    assert.match(form, /scope=https(%3A|:)(%2F|\/){2}graph\.test(%2F|\/)\.default/);
    assert.equal(token?.timeout, 20_000);
    const [request] = services.asked;
    assert.match(
      request!.url.href,
      /^https:\/\/graph\.test\/v1\.0\/users\/ann%40x\.test\/sendMail$/,
    );
    assert.equal(request?.timeout, 17_000);
  });

  it("names SERVER_HOSTNAME in its Received field", async () => {
    const { services, logIn, submit } = start({ SERVER_HOSTNAME: "relay.example.com" });
    await submit(await logIn());
    assert.match(sentText(services.asked[0]!), /^Received: [^]*?by relay\.example\.com/m);
  });

  it("keeps its quoted-printable where REENCODE_QUOTED_PRINTABLE is false", async () => {
    const text = "From: ann@x.test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n" +
      "Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db\r\n";
    for (const [value, encoding] of [["true", "base64"], ["false", "quoted-printable"]] as const) {
      const { services, logIn, submit } = start({ REENCODE_QUOTED_PRINTABLE: value });
      await submit(await logIn(), [Buffer.from(text)]);
      const [, found] = /^Content-Transfer-Encoding: (\S+)/m.exec(sentText(services.asked[0]!))!;
      assert.equal(found, encoding);
    }
  });

  it("may be as MAX_HEADER_SIZE, MAX_MIME_DEPTH and MAX_MIME_PARTS say", async () => {
    const part = (boundary: string, inner: string) =>
      `Content-Type: multipart/mixed; boundary=${boundary}\r\n\r\n--${boundary}\r\n${inner}` +
      `\r\n--${boundary}--\r\n`;
    const head = "From: ann@x.test\r\nMIME-Version: 1.0\r\n";
    const deep = head + part("a", part("b", part("c", part("d", "\r\nx"))));
    const wide = head + part("a", Array.from({ length: 9 }, () => "\r\nx").join("\r\n--a\r\n"));
    const long = `Subject: ${"x ".repeat(4_000)}\r\n${head}\r\nx\r\n`;
    for (
      const [setting, value, text] of [
        ["MAX_MIME_DEPTH", "3", deep],
        ["MAX_MIME_PARTS", "4", wide],
        ["MAX_HEADER_SIZE", "4k", long],
      ] as const
    ) {
      const refusing = start({ [setting]: value });
      assert.match(await refusing.submit(await refusing.logIn(), [Buffer.from(text)]), /^55\d /);
      const [outcome] = refusing.outcomes();
      assert.equal(outcome?.type === "refused" && outcome.limit, setting);
      const { logIn, submit } = start();
      assert.match(await submit(await logIn(), [Buffer.from(text)]), /^250 /, setting);
    }
  });

  it("over GRAPH_REQUEST_LIMIT goes by way of a draft, or is refused, as LARGE_MESSAGES says", async () => {
    const text = "From: ann@x.test\r\nMIME-Version: 1.0\r\n" +
      "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee below.\r\n--b\r\n" +
      "Content-Type: application/pdf; name=scan.pdf\r\nContent-Transfer-Encoding: base64\r\n" +
      `\r\n${`${"QUJD".repeat(19)}\r\n`.repeat(2_000)}\r\n--b--\r\n`;
    const content: Content = [Buffer.from(text)];
    const refusing = start({ LARGE_MESSAGES: "reject", GRAPH_REQUEST_LIMIT: "100k" });
    assert.match(await refusing.submit(await refusing.logIn(), content), /^552 5\.3\.4 /);
    assert.equal(refusing.services.asked.length, 0);
    const uploading = start({ LARGE_MESSAGES: "upload", GRAPH_REQUEST_LIMIT: "100k" });
    uploading.services.next = respond(403, { error: { code: "ErrorAccessDenied" } });
    await uploading.submit(await uploading.logIn(), content);
    assert.match(uploading.services.asked[0]!.url.pathname, /\/messages$/);
  });

  it("is one of ALLOWED_SENDERS, in the header too", async () => {
    const { logIn, submit, services } = start({ ALLOWED_SENDERS: "bea@x.test" });
    const principal = await logIn();
    assert.equal(principal.checkSender("ann@x.test")?.code, 550);
    assert.equal(principal.checkSender("bea@x.test"), undefined);
    assert.match(await submit(principal), /^550 5\.7\.1 /);
    assert.equal(services.asked.length, 0);
  });

  it("is sent once where its client had gone, unless DUPLICATE_WINDOW is off", async () => {
    for (const [value, count] of [["10m", 1], ["off", 2]] as const) {
      const { logIn, submit, services } = start({ DUPLICATE_WINDOW: value });
      const principal = await logIn();
      const gone = new WaitingTestClient();
      gone.leave(false);
      const first = await submit(principal, undefined, gone);
      await setImmediate();
      const second = await submit(principal);
      assert.deepEqual([first === second, services.asked.length], [count === 1, count], value);
    }
  });
});

describe("a mailbox", () => {
  it("gets GRAPH_CONCURRENCY messages at once; others wait for PACING_TIMEOUT", async () => {
    const { logIn, submit, services, clock } = start({
      GRAPH_CONCURRENCY: "2",
      PACING_TIMEOUT: "30s",
    });
    services.next = undefined;
    const principal = await logIn();
    const verdicts = [submit(principal), submit(principal), submit(principal)];
    await until(() => services.asked.length === 2);
    await setImmediate();
    assert.equal(services.asked.length, 2);
    clock.pass(30_000);
    assert.match(await verdicts[2]!, /^451 4\.3\.2 PACING_TIMEOUT: /);
    services.answer(respond(202));
    assert.match(await verdicts[0]!, /^250 /);
    assert.match(await verdicts[1]!, /^250 /);
  });

  it("is tried again for DELIVERY_TIMEOUT", async () => {
    const { logIn, submit, services, clock } = start({ DELIVERY_TIMEOUT: "40s" });
    services.next = { ...respond(503), headers: new Map([["retry-after", "15"]]) };
    const begun = clock.now();
    const verdict = clock.passUntil(submit(await logIn()));
    assert.match(await verdict, /^451 /);
    assert.equal(services.asked.length, 3);
    assert.ok(clock.now() - begun <= 40_000, `${clock.now() - begun}`);
  });
});

describe("a stop whose time is over", () => {
  it("ends what is under way, and what waits for its turn is surely not sent", async () => {
    const { logIn, submit, services, cutOff, outcomes } = start({ GRAPH_CONCURRENCY: "1" });
    services.next = undefined;
    const principal = await logIn();
    const verdicts = [submit(principal), submit(principal)];
    await until(() => services.asked.length === 1);
    await setImmediate();
    cutOff();
    const [, waiting] = await Promise.all(verdicts);
    assert.match(waiting!, /^451 4\.3\.2 STOPPING: .*nothing was sent$/);
    const doubts = outcomes().map((outcome) => "ambiguous" in outcome && outcome.ambiguous);
    assert.deepEqual(doubts.sort(), [false, true]);
    assert.equal(services.asked.length, 1, "nothing is begun any more");
  });

  it("ends the waits of delayed logins before", async () => {
    const { login, services, clock, stopping } = start({ AUTH_RATE_LIMIT: "100/1m" });
    services.refuse = true;
    for (let i = 0; i < 6; i++) await clock.passUntil(login(USERNAME, `wrong ${i}`));
    const { alarms } = clock;
    const delayed = login(USERNAME, "wrong again");
    await setImmediate();
    assert.ok(clock.alarms > alarms, "it waits");
    stopping();
    assert.equal((await delayed).reply.code, 535);
  });
});

describe("a login", () => {
  it("is limited by AUTH_RATE_LIMIT for an address, and not where that is off", async () => {
    for (const [rate, last] of [["2/1m", 421], ["off", 535]] as const) {
      const { login, services } = start({ AUTH_RATE_LIMIT: rate });
      services.refuse = true;
      const codes = [];
      for (const password of ["one", "two", "three"]) {
        codes.push((await login(USERNAME, password)).reply.code);
      }
      assert.deepEqual(codes, [535, 535, last]);
    }
  });

  it("has USERNAME_DELIMITER between tenant and client, and is one of ALLOWED_TENANTS", async () => {
    const { login } = start({
      USERNAME_DELIMITER: ":",
      ALLOWED_TENANTS: "99999999-2222-4333-8444-555555555555",
    });
    assert.equal((await login(`${TENANT}@${CLIENT}`)).reply.code, 535);
    const refused = await login(`${TENANT}:${CLIENT}`);
    assert.equal(refused.reply.code, 535);
    assert.match(formatReply(refused.reply), /tenant/i);
    assert.ok(
      (await login(`99999999-2222-4333-8444-555555555555:${CLIENT}`)).principal !== undefined,
    );
  });

  it("uses a token for TOKEN_CACHE_MAX_AGE", async () => {
    const { logIn, services, clock } = start({ TOKEN_CACHE_MAX_AGE: "20m" });
    await logIn();
    clock.pass(14 * 60_000);
    await logIn();
    assert.equal(services.tokens.length, 1);
    clock.pass(7 * 60_000);
    await logIn();
    assert.equal(services.tokens.length, 2);
  });

  it("sends so many messages as MESSAGE_RATE_LIMIT says, by the same clock", async () => {
    const { logIn, submit, clock } = start({ MESSAGE_RATE_LIMIT: "1/1m" });
    const principal = await logIn();
    assert.match(await submit(principal), /^250 /);
    assert.match(await submit(principal), /^451 4\.7\.0 /);
    clock.pass(61_000);
    assert.match(await submit(principal), /^250 /);
  });

  it("of a trusted client is TRUSTED_USERNAME's, bound by ALLOWED_SENDERS", async () => {
    const { service, submit } = start({
      TRUSTED_NETWORKS: "192.0.2.0/24",
      TRUSTED_USERNAME: USERNAME,
      TRUSTED_PASSWORD: "a secret",
      ALLOWED_SENDERS: "ann@x.test",
    });
    const { principal } = await service.authenticate("trusted", PEER);
    assert.equal(principal?.account.clientId, CLIENT);
    assert.match(await submit(principal!), /^250 /);
  });

  it("by a client's own token is checked for the audiences of the cloud", async () => {
    const { service } = start();
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = {
      aud: "https://graph.test",
      tid: TENANT,
      appid: CLIENT,
      iss: `https://sts.windows.net/${TENANT}/`,
      exp: Math.floor(Date.now() / 1000) + 3_000,
      roles: ["Mail.Send"],
    };
    const withToken = (value: unknown) =>
      service.authenticate({
        mechanism: "XOAUTH2",
        username: USERNAME,
        token: new Secret(`${part({ alg: "RS256", typ: "JWT" })}.${part(value)}.c2ln`),
      } as Credentials, PEER);
    const { principal } = await withToken(claims);
    assert.ok(principal?.authorization.unverified() !== undefined);
    assert.equal((await withToken({ ...claims, aud: "https://other.test" })).reply.code, 535);
  });
});

describe("the lookup table", () => {
  const ENTRY = { tenant_id: TENANT, client_id: CLIENT };

  it("is not there where none is set", async () => {
    const { login, lookupState } = start();
    assert.equal((await login("scanner@lookup")).reply.code, 535);
    assert.equal(lookupState(), undefined);
  });

  it("gives entries, and says how it is", async () => {
    const table = new Table();
    table.rows.set("scanner", ENTRY);
    const { logIn, clock, lookupState } = start({}, table);
    assert.equal(lookupState(), "not asked");
    const { account } = await logIn("scanner@lookup");
    assert.deepEqual([account.entry?.id, lookupState()], ["scanner", "answers"]);
    await logIn("scanner@lookup");
    assert.equal(table.asked, 1);
    clock.pass(61_000);
    await logIn("scanner@lookup");
    assert.equal(table.asked, 2);
  });

  it("that fails is reported, and that it answers again; entries are good for AZURE_TABLES_CACHE_MAX_AGE", async () => {
    const table = new Table();
    table.rows.set("scanner", ENTRY);
    const { logIn, login, clock, events, types, lookupState } = start({
      AZURE_TABLES_CACHE_MAX_AGE: "5m",
    }, table);
    await logIn("scanner@lookup");
    const trouble: TableTrouble = {
      type: "trouble",
      code: "ECONNREFUSED",
      detail: "away",
      gone: false,
      concerns: "table",
    };
    table.trouble = trouble;
    clock.pass(4 * 60_000);
    await logIn("scanner@lookup");
    const failed = () => events.filter(({ type }) => type === "lookupFailed");
    assert.deepEqual(failed(), [{ type: "lookupFailed", trouble, served: true }]);
    assert.equal(lookupState(), trouble);
    clock.pass(2 * 60_000);
    assert.equal((await login("scanner@lookup")).reply.code, 454);
    assert.deepEqual(failed()[1], { type: "lookupFailed", trouble, served: false });
    table.trouble = undefined;
    clock.pass(60_000);
    await logIn("scanner@lookup");
    assert.ok(types().includes("lookupRecovered"));
  });

  it("has an entry for every login with AZURE_TABLES_FORCE_USAGE", async () => {
    const { login } = start({
      AZURE_TABLES_URL: "https://account.table.core.windows.net/users",
      AZURE_TABLES_FORCE_USAGE: "true",
    }, new Table());
    assert.equal((await login()).reply.code, 535);
  });
});
