/** Token requests with the relay's own credentials, against the imitated Entra ID, which verifies them. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, afterEach, before, describe, it } from "node:test";
import type {
  AppProof,
  CredentialName,
  RelayCredentials,
} from "../../src/entra/app_credentials.ts";
import type { EntraRefusal } from "../../src/entra/entra_errors.ts";
import { fixedSecret } from "../../src/entra/fixed_secret.ts";
import { identityEndpoint, ManagedIdentity } from "../../src/entra/managed_identity.ts";
import { requestToken } from "../../src/entra/msal.ts";
import type { ProofSource } from "../../src/entra/proof_source.ts";
import { OwnCredentials } from "../../src/entra/relay_credentials.ts";
import type { AccessToken } from "../../src/entra/token.ts";
import { TokenFile } from "../../src/entra/token_file.ts";
import { TokenSource } from "../../src/entra/tokens.ts";
import { HttpClient } from "../../src/http/client.ts";
import type { RegisteredApp } from "../../src/sandbox/client_assertion.ts";
import { Secret } from "../../src/secret.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { EXCHANGE, type IdentityServer, makeIssuer, startIdentity } from "../support/assertions.ts";
import { type Chain, issueChain } from "../support/chains.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { CLIENT, SCOPE, TENANT } from "../support/logins.ts";
import { closedPort } from "../support/raw_server.ts";

const OTHER_TENANT = "99999999-2222-4333-8444-555555555555";
const OTHER_CLIENT = "bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const IDENTITY = "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const SUBJECT = "dddddddd-bbbb-4ccc-8ddd-eeeeeeeeeeee";

const identityIssuer = makeIssuer(`https://login.microsoftonline.com/${TENANT}/v2.0`);
const cluster = makeIssuer("https://cluster.example/");
const POD = "system:serviceaccount:mail:relay";

let cloud: CloudServer;
let chain: Chain;
let renewedChain: Chain;
/** By client ID. */
const apps = new Map<string, RegisteredApp>();
const http = new HttpClient();
before(async () => {
  [chain, renewedChain] = await Promise.all([
    issueChain({ key: "RSA" }),
    issueChain({ key: "RSA", until: 400 }),
  ]);
  cloud = await startCloud({ entra: { app: (client) => apps.get(client) } });
});
afterEach(() => apps.clear());
after(async () => {
  http.close();
  await cloud.close();
});

function appOf(credential: CredentialName, clientId = CLIENT, tenantId = TENANT): RelayCredentials {
  return { tenantId, clientId, credential };
}

/** As the relay wires them. */
function tokensOf(sources: readonly ProofSource[], clock = new FakeClock()) {
  const own = new OwnCredentials(sources);
  const asked: AppProof[] = [];
  const tokens = new TokenSource({
    maxAge: 3_600_000,
    clock,
    request(credentials, scope) {
      if (!("credential" in credentials)) throw new Error("a client's secret");
      return own.token(credentials, async (proof, explain) => {
        asked.push(proof);
        const options = { http, authorityHost: cloud.authority, scope, timeout: 10_000, clock };
        const result = await requestToken(credentials, proof, options);
        return "type" in result ? explain(result) : result;
      });
    },
  });
  return { own, tokens, asked, token: (app: RelayCredentials) => tokens.login(app).token(SCOPE) };
}

function assertToken(result: AccessToken | EntraRefusal): asserts result is AccessToken {
  assert(!("type" in result), "detail" in result ? result.detail : "");
}

/** The device is not at fault. */
function assertLater(result: AccessToken | EntraRefusal, code: string): EntraRefusal {
  assert("type" in result, "it has got a token");
  assert.equal(result.code, code);
  assert.equal(result.type, "later");
  assert.match(formatReply(result.reply), /^454 4\.7\.0 [\x20-\x7e]{1,500}\r\n$/);
  assert(formatReply(result.reply).includes(code));
  return result;
}

/** A certificate's source whose certificate the test changes. */
class Certificate implements ProofSource {
  #proof: AppProof;
  chain: Chain;

  constructor(chain: Chain) {
    this.chain = chain;
    this.#proof = proofOf(chain);
  }

  get facts() {
    return {
      name: "certificate",
      source: "file",
      certificate: {
        thumbprint: this.chain.leaf.fingerprint256.replaceAll(":", ""),
        sha1: this.chain.leaf.fingerprint.replaceAll(":", ""),
        notBefore: Date.parse(this.chain.leaf.validFrom),
        notAfter: Date.parse(this.chain.leaf.validTo),
      },
    } as const;
  }

  use(chain: Chain): void {
    this.chain = chain;
    this.#proof = proofOf(chain);
  }

  proof() {
    return Promise.resolve(this.#proof);
  }

  refresh() {
    return Promise.resolve();
  }

  close() {}
}

function proofOf({ leaf, privateKey }: Chain): AppProof {
  const thumbprint = leaf.fingerprint256.replaceAll(":", "");
  return { type: "certificate", thumbprint, key: new Secret(privateKey) };
}

describe("a credential that is not configured", () => {
  it("is 454, with what to set, and Entra ID is not asked", async () => {
    const before = cloud.seen.length;
    const { token, own } = tokensOf([]);
    for (
      const name of ["secret", "certificate", "managed-identity", "workload-identity"] as const
    ) {
      const { detail } = assertLater(await token(appOf(name)), "CREDENTIAL_UNSET");
      assert.match(detail, /; set (?:CLIENT|MANAGED|AZURE)_/);
      assert.equal((await own.proof(name) as EntraRefusal).code, "CREDENTIAL_UNSET");
    }
    assert.equal(cloud.seen.length, before);
    assert.deepEqual(own.list(), []);
  });
});

describe("the credential secret", () => {
  it("gets a token", async () => {
    const { token, own } = tokensOf([fixedSecret(new Secret("a secret"))]);
    assertToken(await token(appOf("secret")));
    assert.deepEqual(own.list(), [{ name: "secret", source: "setting" }]);
  });

  for (const [secret, code] of [["wrong-secret", 7000215], ["expired-secret", 7000222]] as const) {
    it(`is 454 where a device's own would be 535: ${secret}`, async () => {
      const { token } = tokensOf([fixedSecret(new Secret(secret))]);
      const { detail, reply } = assertLater(await token(appOf("secret")), `AADSTS${code}`);
      assert.match(detail, new RegExp(`to the app ${CLIENT}, and set CLIENT_SECRET`));
      assert(!detail.includes(secret) && !formatReply(reply).includes(secret));
    });
  }
});

describe("the credential certificate", () => {
  it("gets tokens for several apps and tenants, one request each", async () => {
    for (const client of [CLIENT, OTHER_CLIENT]) {
      apps.set(client, { certificates: [chain.certificates[0]] });
    }
    const { token, asked } = tokensOf([new Certificate(chain)]);
    const wanted = [
      appOf("certificate"),
      appOf("certificate", OTHER_CLIENT),
      appOf("certificate", CLIENT, OTHER_TENANT),
      appOf("certificate", CLIENT, "contoso.onmicrosoft.com"),
    ];
    for (let round = 0; round < 2; round++) {
      const results = await Promise.all(wanted.flatMap((app) => [token(app), token(app)]));
      for (const result of results) assertToken(result);
    }
    assert.equal(asked.length, 4);
  });

  it("that is not the app's is 454, with the thumbprints and the app", async () => {
    const { token } = tokensOf([new Certificate(chain)]);
    const { detail } = assertLater(await token(appOf("certificate")), "AADSTS700027");
    const { fingerprint, fingerprint256 } = chain.leaf;
    assert(detail.includes(fingerprint.replaceAll(":", "")), detail);
    assert(detail.includes(fingerprint256.replaceAll(":", "")), detail);
    assert(detail.includes(CLIENT), detail);
  });

  it("that has ended is shown all the same, and the log says when it ended", async () => {
    const ended = await issueChain({ key: "RSA", from: -10, until: -1 });
    apps.set(CLIENT, { certificates: [ended.certificates[0]] });
    const { token, asked } = tokensOf([new Certificate(ended)]);
    const { detail } = assertLater(await token(appOf("certificate")), "AADSTS700027");
    assert.match(detail, /the certificate ended at 20\d\d-/);
    assert.equal(asked.length, 1);
  });

  it("that is refused is not shown again for 30 s, by whatever device", async () => {
    const clock = new FakeClock();
    const { token, asked } = tokensOf([new Certificate(chain)], clock);
    for (let i = 0; i < 50; i++) assertLater(await token(appOf("certificate")), "AADSTS700027");
    assert.equal(asked.length, 1);
    clock.pass(29_000);
    const { detail } = assertLater(await token(appOf("certificate")), "AADSTS700027");
    assert.match(detail, /remembered/);
    assert.equal(asked.length, 1);
    clock.pass(1_000);
    apps.set(CLIENT, { certificates: [chain.certificates[0]] });
    assertToken(await token(appOf("certificate")));
    assert.equal(asked.length, 2);
  });

  it("is asked about again after 30 s, however many guesses there were", async () => {
    const clock = new FakeClock();
    const { tokens, asked } = tokensOf([new Certificate(chain)], clock);
    const login = tokens.login(appOf("certificate"));
    const never = () => assert.fail("no guess of a client");
    await login.token(SCOPE, never);
    clock.pass(30_000);
    await login.token(SCOPE, never);
    assert.equal(asked.length, 2);
  });

  it("is used at once when it has been renewed, and the refusal of the old one is forgotten", async () => {
    const certificate = new Certificate(chain);
    const { token, tokens } = tokensOf([certificate]);
    apps.set(CLIENT, { certificates: [renewedChain.certificates[0]] });
    assertLater(await token(appOf("certificate")), "AADSTS700027");
    certificate.use(renewedChain);
    tokens.renewed("certificate");
    assertToken(await token(appOf("certificate")));
  });

  it("that is renewed while it is being refused is shown once more", async () => {
    const certificate = new Certificate(chain);
    apps.set(CLIENT, { certificates: [renewedChain.certificates[0]] });
    const { token, asked } = tokensOf([certificate]);
    const result = token(appOf("certificate"));
    // The request has begun with the old one.
    while (asked.length === 0) await Promise.resolve();
    certificate.use(renewedChain);
    assertToken(await result);
    assert.equal(asked.length, 2);
  });

  it("keeps the tokens of the old one", async () => {
    apps.set(CLIENT, { certificates: [chain.certificates[0]] });
    const certificate = new Certificate(chain);
    const { token, tokens, asked } = tokensOf([certificate]);
    const first = await token(appOf("certificate"));
    certificate.use(renewedChain);
    tokens.renewed("certificate");
    assert.equal(await token(appOf("certificate")), first);
    assert.equal(asked.length, 1);
  });

  it("does not change what is remembered of a client's own secret", async () => {
    let requests = 0;
    const tokens = new TokenSource({
      maxAge: 1000,
      request: () => {
        requests++;
        const reply = { code: 535, lines: ["no"] } as unknown as EntraRefusal["reply"];
        return Promise.resolve({ type: "refused", reply, code: "X", detail: "no" });
      },
    });
    const login = tokens.login({
      tenantId: TENANT,
      clientId: CLIENT,
      clientSecret: new Secret("x"),
    });
    await login.token(SCOPE);
    tokens.renewed("secret");
    await login.token(SCOPE);
    assert.equal(requests, 1);
  });
});

describe("the credential managed-identity", () => {
  let identity: IdentityServer;
  before(async () => {
    identity = await startIdentity(identityIssuer, { [IDENTITY]: SUBJECT });
  });
  afterEach(() => {
    identity.respond = undefined;
    identity.lifetime = 86_400;
    (identity.seen as unknown[]).length = 0;
  });
  after(() => identity.close());

  const trusting = { federated: [identityIssuer.credential(SUBJECT)] };
  /** A clock that shows the time of the tokens. */
  class NowClock extends FakeClock {
    readonly #began = Date.now() - super.date();

    override date(): number {
      return super.date() + this.#began;
    }
  }
  const sourceOf = (options: { clock?: FakeClock; clientId?: string; timeout?: number } = {}) => {
    const { clock = new NowClock(), clientId = IDENTITY, timeout } = options;
    return new ManagedIdentity({
      http,
      clientId,
      clock,
      audience: EXCHANGE,
      endpoint: identityEndpoint(identity.variables),
      ...(timeout === undefined ? {} : { timeout }),
    });
  };

  it("gets tokens for several apps and tenants with one assertion", async () => {
    for (const client of [CLIENT, OTHER_CLIENT]) apps.set(client, trusting);
    const { token, own } = tokensOf([sourceOf()]);
    const results = await Promise.all([
      token(appOf("managed-identity")),
      token(appOf("managed-identity", OTHER_CLIENT)),
      token(appOf("managed-identity", CLIENT, OTHER_TENANT)),
    ]);
    for (const result of results) assertToken(result);
    assert.deepEqual(identity.seen, [{ resource: EXCHANGE, client: IDENTITY }]);
    const [facts] = own.list();
    const { issuer, subject, audience } = facts!.assertion!;
    assert.deepEqual([issuer, subject, audience], [identityIssuer.issuer, SUBJECT, EXCHANGE]);
  });

  it("without a federated credential is 454, with what to enter", async () => {
    const { token } = tokensOf([sourceOf()]);
    apps.set(CLIENT, { federated: [identityIssuer.credential("another")] });
    const { detail } = assertLater(await token(appOf("managed-identity")), "AADSTS700213");
    assert(
      detail.includes(
        `to the app ${CLIENT}, with issuer "${identityIssuer.issuer}", subject "${SUBJECT}" and ` +
          `audience "${EXCHANGE}"`,
      ),
      detail,
    );
    assertLater(
      await token(appOf("managed-identity", OTHER_CLIENT)),
      "AADSTS70021",
    );
  });

  it("is renewed an hour before its end, and the old assertion serves if that fails", async () => {
    const clock = new NowClock();
    const source = sourceOf({ clock });
    const first = await source.proof();
    clock.pass((86_400 - 3_601) * 1000);
    assert.equal(await source.proof(), first);
    clock.pass(2_000);
    identity.respond = (response) => void response.writeHead(500).end();
    assert.equal(await source.proof(), first);
    assert.equal(await source.proof(), first);
    assert.equal(identity.seen.length, 2, "it is not asked at each login");
    clock.pass(30_000);
    identity.respond = undefined;
    assert.notEqual(await source.proof(), first);
    assert.equal(identity.seen.length, 3);
  });

  it("is asked for anew if Entra ID says that it has ended, whatever the machine's clock says", async () => {
    apps.set(CLIENT, trusting);
    // By this clock, it is good for weeks.
    const source = sourceOf({ clock: new FakeClock() });
    identity.lifetime = -4000;
    await source.proof();
    identity.lifetime = 86_400;
    const { token, asked } = tokensOf([source]);
    assertToken(await token(appOf("managed-identity")));
    assert.equal(asked.length, 2);
  });

  it("is asked for anew on SIGHUP, and the old assertion serves if that fails", async () => {
    const source = sourceOf();
    const first = await source.proof();
    await source.refresh();
    const second = await source.proof();
    assert.notEqual(second, first);
    await source.refresh();
    identity.respond = (response) => void response.writeHead(500).end();
    assert.equal(await source.proof(), second);
  });

  it("that there is none of is asked for once in 5 s, however many devices log in", async () => {
    const clock = new NowClock();
    const source = sourceOf({ clock });
    identity.respond = (response) => void response.writeHead(500).end();
    for (let i = 0; i < 50; i++) {
      assert.equal((await source.proof() as EntraRefusal).code, "IDENTITY_500");
    }
    assert.equal(identity.seen.length, 1);
    identity.respond = undefined;
    clock.pass(5_000);
    assert("type" in await source.proof());
    assert.deepEqual(identity.seen.map(({ client }) => client), [IDENTITY, IDENTITY]);
  });

  it("is not used to its very end", async () => {
    identity.lifetime = 600;
    const clock = new NowClock();
    const source = sourceOf({ clock });
    await source.proof();
    identity.respond = (response) => void response.writeHead(500).end();
    clock.pass(545_000);
    assert.equal((await source.proof() as EntraRefusal).code, "IDENTITY_500");
  });

  it("that the machine does not have is 454, with the endpoint's words", async () => {
    const { token } = tokensOf([sourceOf({ clientId: OTHER_CLIENT })]);
    const { detail } = assertLater(await token(appOf("managed-identity")), "IDENTITY_400");
    assert.match(detail, /MANAGED_IDENTITY_CLIENT_ID bbbb.*No User Assigned Identity found/);
    assert(!detail.includes(identity.variables["IDENTITY_HEADER"]!));
  });

  const answers: readonly (readonly [string, string])[] = [
    ["nonsense", "IDENTITY_ANSWER"],
    ["{}", "IDENTITY_ANSWER"],
    ['{"access_token":"x"}', "IDENTITY_ANSWER"],
    ['{"access_token":"a.b.c","expires_on":"1"}', "IDENTITY_ANSWER"],
    ["[]", "IDENTITY_ANSWER"],
    ["null", "IDENTITY_ANSWER"],
  ];
  for (const [body, code] of answers) {
    it(`whose endpoint answers ${body} is 454`, async () => {
      identity.respond = (response) => void response.end(body);
      assertLater(await tokensOf([sourceOf()]).token(appOf("managed-identity")), code);
    });
  }

  it("whose endpoint does not answer is 454 in time, with one request for all logins", async () => {
    identity.respond = () => {};
    apps.set(CLIENT, trusting);
    apps.set(OTHER_CLIENT, trusting);
    const { token } = tokensOf([sourceOf({ timeout: 100 })]);
    const results = await Promise.all(
      [CLIENT, OTHER_CLIENT].map((client) => token(appOf("managed-identity", client))),
    );
    for (const result of results) assertLater(result, "ETIMEDOUT");
    assert.equal(identity.seen.length, 1);
  });

  it("whose endpoint is absent is 454", async () => {
    const endpoint = identityEndpoint({
      ...identity.variables,
      IDENTITY_ENDPOINT: `http://127.0.0.1:${await closedPort()}/msi/token`,
    });
    const clock = new FakeClock();
    const source = new ManagedIdentity({
      http,
      clientId: IDENTITY,
      audience: EXCHANGE,
      endpoint,
      clock,
    });
    assertLater(await tokensOf([source]).token(appOf("managed-identity")), "ECONNREFUSED");
  });

  it("is asked for at the instance metadata service, unless the machine names another", () => {
    const { url, headers } = identityEndpoint({});
    assert.equal(
      url.href,
      "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01",
    );
    assert.deepEqual(headers, { Metadata: "true" });
    const pod = identityEndpoint({ AZURE_POD_IDENTITY_AUTHORITY_HOST: "http://127.0.0.1:40342" });
    assert.equal(pod.url.host, "127.0.0.1:40342");
    assert.match(identityEndpoint(identity.variables).url.href, /\?api-version=2019-08-01$/);
  });
});

describe("the credential workload-identity", () => {
  const directory = mkdtempSync(join(tmpdir(), "relay-token-"));
  const path = join(directory, "token");
  after(() => rmSync(directory, { recursive: true }));

  it("gets tokens with what the file has at the time", async () => {
    apps.set(CLIENT, { federated: [cluster.credential(POD)] });
    const { token, own } = tokensOf([new TokenFile(path)]);
    writeFileSync(path, `${cluster.token({ sub: POD, aud: [EXCHANGE] })}\n`);
    assertToken(await token(appOf("workload-identity")));
    assert.equal(own.list()[0]?.assertion?.subject, POD);
    // The cluster has renewed it.
    const now = Math.floor(Date.now() / 1000);
    writeFileSync(path, cluster.token({ sub: POD, exp: now - 4000 }));
    const other = appOf("workload-identity", CLIENT, OTHER_TENANT);
    const { detail } = assertLater(await token(other), "AADSTS700024");
    assert.match(detail, /the assertion ends at \d{4}-.*compare this machine's clock/);
    assert.doesNotMatch(detail, /add a federated credential/);
    writeFileSync(path, cluster.token({ sub: POD }));
    assertToken(await token(appOf("workload-identity", CLIENT, "contoso.onmicrosoft.com")));
  });

  it("that is not trusted is 454, with what to enter", async () => {
    writeFileSync(path, cluster.token({ sub: POD, aud: "api://another" }));
    apps.set(CLIENT, { federated: [cluster.credential(POD)] });
    const { token } = tokensOf([new TokenFile(path)]);
    const { detail } = assertLater(await token(appOf("workload-identity")), "AADSTS700212");
    assert(detail.includes(`issuer "https://cluster.example/", subject "${POD}"`), detail);
    assert(detail.includes('audience "api://another"'), detail);
  });

  it("whose file is missing, empty or no token is 454, and the path is named", async () => {
    const missing = join(directory, "missing");
    const { token } = tokensOf([new TokenFile(missing)]);
    const { detail } = assertLater(await token(appOf("workload-identity")), "TOKEN_FILE");
    assert(
      detail.includes(`AZURE_FEDERATED_TOKEN_FILE "${missing}" cannot be read (ENOENT)`),
      detail,
    );
    for (const text of ["", "x", "a.b.c", "x".repeat(100_000)]) {
      writeFileSync(path, text);
      const result = await tokensOf([new TokenFile(path)]).token(appOf("workload-identity"));
      assert.match(assertLater(result, "TOKEN_FILE").detail, /has no token in it$/);
    }
  });

  it("is not shown where it is set in place of its file's path", async () => {
    const itself = cluster.token({ sub: POD });
    const result = await tokensOf([new TokenFile(itself)]).token(appOf("workload-identity"));
    const { detail, reply } = assertLater(result, "TOKEN_FILE");
    for (const part of itself.split(".")) {
      assert(!`${detail} ${formatReply(reply)}`.includes(part), detail);
    }
    assert.match(
      detail,
      /FILE \(\d+ characters, not shown: a token in place of its file's path\) c/,
    );
  });

  it("is read from nothing but a file: a device may have no end, a pipe no writer", {
    skip: process.platform === "win32",
  }, async () => {
    const result = await tokensOf([new TokenFile("/dev/zero")]).token(appOf("workload-identity"));
    assert.match(assertLater(result, "TOKEN_FILE").detail, /"\/dev\/zero" is not a regular file$/);
  });
});

describe("several credentials", () => {
  it("are used side by side, each for its own entries", async () => {
    apps.set(CLIENT, { certificates: [chain.certificates[0]] });
    const { token, own } = tokensOf([new Certificate(chain), fixedSecret(new Secret("a secret"))]);
    const [first, second] = await Promise.all([
      token(appOf("certificate")),
      token(appOf("secret")),
    ]);
    assertToken(first);
    assertToken(second);
    assert.notEqual(first.value.reveal(), second.value.reveal());
    assert.deepEqual(own.list().map(({ name }) => name), ["secret", "certificate"]);
  });
});
