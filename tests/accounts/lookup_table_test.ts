/**
 * The lookup table against the real service in its emulator, Azurite: by an account's key over http,
 * by a shared access signature, and by an identity's token over https.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, afterEach, before, describe, it } from "node:test";
import {
  createHttpHeaders,
  type HttpClient as PipelineClient,
  type PipelineRequest,
  type PipelineResponse,
} from "@azure/core-rest-pipeline";
import { AzureNamedKeyCredential, generateTableSas } from "@azure/data-tables";
import { Entries } from "../../src/accounts/entries.ts";
import { isTrouble } from "../../src/accounts/entry_source.ts";
import { LookupTable, type LookupTableOptions } from "../../src/accounts/lookup_table.ts";
import { azureCredential } from "../../src/azure/credential.ts";
import { azureClientOptions } from "../../src/azure/transport.ts";
import { httpClient } from "../support/http.ts";
import { HttpClient } from "../../src/http/client.ts";
import { shortId } from "../../src/accounts/username.ts";
import { storageAccess } from "../../src/settings/storage_access.ts";
import { realClock } from "../../src/clock.ts";
import { createAuthority } from "../support/authority.ts";
import {
  ACCOUNT,
  ACCOUNT_KEY,
  admin,
  type Azurite,
  CONNECTION_STRING,
  startAzurite,
} from "../support/azurite.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const CLIENT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const IDS = { tenant_id: TENANT, client_id: CLIENT };
/** Milliseconds for a query, enough for a busy machine. */
const TIMEOUT = 20_000;
const KEY = storageAccess.parse(CONNECTION_STRING)!;

interface TableOptions extends Partial<LookupTableOptions> {
  readonly authority?: string;
  /** Runs after a change has been decided and before its request is sent. */
  beforeChange?(): Promise<unknown>;
}

/** A table, and every request to it: method and URL, decoded. */
function open(azurite: Azurite, options: TableOptions = {}) {
  const { authority, beforeChange, ...rest } = options;
  const http = new HttpClient(authority === undefined ? {} : { authorities: [authority] });
  const client = azureClientOptions(http);
  const requests: string[] = [];
  const counting: PipelineClient = {
    async sendRequest(request: PipelineRequest): Promise<PipelineResponse> {
      if (request.method !== "GET") await beforeChange?.();
      requests.push(`${request.method} ${decodeURIComponent(request.url)}`);
      return await client.httpClient.sendRequest(request);
    },
  };
  const table = new LookupTable({
    url: new URL(azurite.url("users")),
    partitionKey: "user",
    access: KEY,
    client: { ...client, httpClient: counting },
    ...rest,
  });
  return { table, requests, http, entries: new Entries({ source: table, maxAge: 3_600_000 }) };
}

describe("the lookup table by its account's key (over http, on the loopback)", () => {
  let azurite: Azurite;
  let stage: ReturnType<typeof admin>;
  let opened: ReturnType<typeof open>;
  before(async () => {
    azurite = await startAzurite();
    stage = admin(azurite, "users");
    await stage.client.createTable();
    opened = open(azurite);
  });
  after(async () => {
    opened.http.close();
    stage.close();
    await azurite.stop();
  });

  it("returns an entry by its RowKey in its partition, in one request", async () => {
    await stage.put("printer", { ...IDS, from_email: "printer@example.com" });
    await stage.put("foreign", IDS, "another partition");
    const before = opened.requests.length;
    const row = await opened.table.find("printer", TIMEOUT);
    assert(row !== undefined && !isTrouble(row));
    assert.deepEqual(row, {
      id: "printer",
      columns: { ...IDS, from_email: "printer@example.com" },
    });
    assert.equal(opened.requests.length, before + 1);
    assert.equal(await opened.table.find("foreign", TIMEOUT), undefined);
    assert.equal(await opened.table.find("Printer", TIMEOUT), undefined);
  });

  // What would end a string of OData, a path, a filter, or the sense of either.
  const HOSTILE = [
    "o'neil",
    "' or '1' eq '1",
    "printer' or RowKey ne '",
    "x') or (PartitionKey ne '",
    "printer%27",
    "%2e%2e",
    "..",
    "printer,PartitionKey='user'",
    "a b&$filter=true",
    "日本 ✉",
    '"; DROP TABLE users',
    "x".repeat(500),
  ];
  for (const id of HOSTILE) {
    it(`requests exactly the id ${id.slice(0, 30)}`, async () => {
      assert.equal(await opened.table.find(id, TIMEOUT), undefined);
      await stage.put(id, { ...IDS, from_email: "own@example.com" });
      const row = await opened.table.find(id, TIMEOUT);
      assert(row !== undefined && !isTrouble(row));
      assert.deepEqual([row.id, row.columns["from_email"]], [id, "own@example.com"]);
      await stage.client.deleteEntity("user", id);
    });
  }

  for (const id of ["a/b", "a\\b", "a#b", "a?b", "a\u0001b", "x".repeat(2048)]) {
    it(`gets no request for ${JSON.stringify(id).slice(0, 20)}, which no key may be`, async () => {
      const before = opened.requests.length;
      const result = await opened.entries.byId(id);
      assert.equal(result.type, "refused");
      assert.equal(opened.requests.length, before);
    });
  }

  it("finds the row of a client among a thousand in one request, in whatever form", async () => {
    const hex = (i: number) => i.toString(16).padStart(12, "0");
    const rows = Array.from({ length: 1000 }, (_, i) => ({
      partitionKey: "user",
      rowKey: `row${i}`,
      tenant_id: TENANT,
      client_id: `${(i % 251).toString(16).padStart(8, "1")}-0000-4000-8000-${hex(i)}`,
    }));
    for (let i = 0; i < rows.length; i += 100) {
      await stage.client.submitTransaction(rows.slice(i, i + 100).map((row) => ["create", row]));
    }
    const [plain, url] = [
      "01a06c09-c0dd-42aa-80aa-aaaaaaaaaaaa",
      "fbffbf08-1083-42aa-80aa-000000000001",
    ];
    const other = "fbffbf08-1083-42aa-80aa-000000000002";
    const base64 = shortId(other).replaceAll("-", "+").replaceAll("_", "/");
    assert(base64 !== shortId(other));
    const forms: Record<string, [written: string, id?: string]> = {
      "in capitals": ["ABCDEF01-0000-4000-8000-00000000000A"],
      "mixed": ["aBcDeF01-0000-4000-8000-00000000000b"],
      "short": [shortId(plain), plain],
      "padded": [`${shortId(url)}==`, url],
      "of base64": [base64, other],
      "guid": ["0f0f0f0f-0000-4000-8000-00000000000c"],
    };
    for (const [name, [written, id = written.toLowerCase()]] of Object.entries(forms)) {
      const value = name === "guid" ? { type: "Guid", value: written } : written;
      await stage.put(`form ${name}`, { tenant_id: TENANT, client_id: value });
      const before = opened.requests.length;
      const result = await opened.entries.byTenantAndClient(TENANT, id);
      assert(result.type === "entry", `${name}: ${JSON.stringify(result)}`);
      assert.equal(result.entry.id, `form ${name}`);
      assert.equal(opened.requests.length, before + 1, name);
      await stage.client.deleteEntity("user", `form ${name}`);
    }
    const last = rows[999]!;
    const before = opened.requests.length;
    const result = await opened.entries.byTenantAndClient(TENANT, last.client_id);
    assert(result.type === "entry");
    assert.equal(result.entry.id, "row999");
    assert.equal((await opened.entries.byId("row500")).type, "entry");
    assert.equal(opened.requests.length, before + 2);
    // The service allows 15 comparisons in a filter.
    const [filter = ""] = opened.requests.filter((request) => request.includes("$filter")).slice(
      -1,
    );
    assert((filter.match(/ (?:eq|ge|lt) /g) ?? []).length <= 15, filter);
    const listed = await opened.table.list(TIMEOUT);
    assert(!isTrouble(listed) && listed.length > 1000, "over one page of the service's");
  });

  it("changes columns and leaves the others as they are, types and all", async () => {
    const { table } = opened;
    const own = { visits: 5n, since: new Date(0), mark: { type: "Guid", value: CLIENT } };
    await stage.put("kept", { ...IDS, from_email: "a@example.com", description: "a note", ...own });
    const changes = { from_email: undefined, disabled: true };
    assert.equal(await table.set("kept", changes, false, TIMEOUT), "changed");
    const row = await table.find("kept", TIMEOUT);
    assert(row !== undefined && !isTrouble(row));
    assert.deepEqual(row.columns, { ...IDS, description: "a note", disabled: true, ...own });
  });

  it("overwrites nothing that another writer has changed meanwhile (RFC 9110 §13.1.1)", async () => {
    await stage.put("shared", { ...IDS, from_email: "a@example.com" });
    // An administrator disables the entry between the read and the write of another.
    const beforeChange = () => stage.put("shared", { ...IDS, disabled: true });
    const { table, http } = open(azurite, { beforeChange });
    assert.equal(await table.set("shared", { from_name: "A" }, false, TIMEOUT), "conflict");
    const row = await opened.table.find("shared", TIMEOUT);
    assert(row !== undefined && !isTrouble(row));
    assert.deepEqual(row.columns, { ...IDS, disabled: true });
    await stage.client.deleteEntity("user", "shared");
    // Both create it.
    assert.equal(await table.set("shared", { from_name: "A" }, true, TIMEOUT), "conflict");
    await stage.client.deleteEntity("user", "shared");
    http.close();
  });

  it("finds no client of another partition, which may be another relay's", async () => {
    const client = "c1c1c1c1-0000-4000-8000-000000000001";
    const columns = { tenant_id: TENANT, client_id: client };
    await stage.put("theirs", columns, "another partition");
    assert.deepEqual(await opened.table.findByClient(client, TIMEOUT), []);
    assert.equal((await opened.entries.byTenantAndClient(TENANT, client)).type, "refused");
    await stage.put("z ours", columns);
    const rows = await opened.table.findByClient(client, TIMEOUT);
    assert(!isTrouble(rows));
    assert.deepEqual(rows.map(({ id }) => id), ["z ours"]);
    await stage.client.deleteEntity("user", "z ours");
  });

  it("creates an entry only on request, and deletes one", async () => {
    const { table } = opened;
    assert.equal(await table.set("new", IDS, false, TIMEOUT), "missing");
    assert.equal(await table.set("new", IDS, true, TIMEOUT), "created");
    assert.equal(await table.delete("new", TIMEOUT), "deleted");
    assert.equal(await table.delete("new", TIMEOUT), "missing");
  });

  it("accepts a shared access signature", async () => {
    const signature = generateTableSas("users", new AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY), {
      permissions: { query: true },
      expiresOn: new Date(Date.now() + 3_600_000),
    });
    const access = storageAccess.parse(`SharedAccessSignature=${signature}`);
    assert(access?.type === "sas");
    const { table, http } = open(azurite, { access });
    const row = await table.find("printer", TIMEOUT);
    assert(row !== undefined && !isTrouble(row));
    const change = await table.set("printer", { disabled: true }, false, TIMEOUT);
    assert(typeof change === "object");
    assert.match(change.detail, /access to the table is refused/);
    http.close();
  });

  it("reports a refused key without showing it", async () => {
    const key = "d3Jvbmcga2V5";
    const access = storageAccess.parse(`AccountName=${ACCOUNT};AccountKey=${key}`)!;
    const { table, http } = open(azurite, { access });
    const answer = await table.find("printer", TIMEOUT);
    assert(answer !== undefined && isTrouble(answer));
    assert.match(
      answer.detail,
      /access to the table is refused: check AZURE_TABLES_CONNECTION_STRING/,
    );
    assert(!JSON.stringify(answer).includes(key) && !answer.gone);
    http.close();
  });

  it("that does not exist is a configuration error, with its name", async () => {
    const { table, http } = open(azurite, { url: new URL(azurite.url("nobodys")) });
    for (const answer of [await table.find("a", TIMEOUT), await table.probe(TIMEOUT)]) {
      assert(answer !== undefined && isTrouble(answer));
      assert.equal(answer.code, "TableNotFound");
      assert.match(answer.detail, /does not exist: check the name at the end of AZURE_TABLES_URL/);
      assert(answer.gone);
    }
    http.close();
  });

  it("that is being deleted makes a change fail, without a conflict", async () => {
    const error = { "odata.error": { code: "TableBeingDeleted", message: { value: "x" } } };
    const sendRequest = (request: PipelineRequest): Promise<PipelineResponse> =>
      Promise.resolve({
        request,
        status: request.method === "GET" ? 404 : 409,
        headers: createHttpHeaders({
          "content-type": "application/json",
          "x-ms-error-code": request.method === "GET" ? "ResourceNotFound" : "TableBeingDeleted",
        }),
        bodyAsText: request.method === "GET" ? "{}" : JSON.stringify(error),
      });
    const table = new LookupTable({
      url: new URL(azurite.url("users")),
      partitionKey: "user",
      access: KEY,
      client: { ...azureClientOptions(opened.http), httpClient: { sendRequest } },
    });
    for (
      const change of [
        await table.set("new", IDS, true, TIMEOUT),
        await table.delete("new", TIMEOUT),
      ]
    ) {
      assert(typeof change === "object", String(change));
      assert.deepEqual([change.code, change.gone], ["TableBeingDeleted", true]);
    }
  });

  it("reports whether it has any entry", async () => {
    assert.deepEqual(await opened.table.probe(TIMEOUT), { empty: false });
    const { table, http } = open(azurite, { partitionKey: "o'nobody" });
    assert.deepEqual(await table.probe(TIMEOUT), { empty: true });
    http.close();
  });
});

describe("the lookup table by an identity (over https)", () => {
  const NAMES = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"] as const;
  const earlier = { ...process.env };
  let folder: string;
  let authority: string;
  let azurite: Azurite;
  let cloud: CloudServer;
  let stage: ReturnType<typeof admin>;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "table-test-"));
    const company = await createAuthority("a company's authority");
    authority = company.certificate;
    const service = await company.issue({ addresses: ["127.0.0.1"] });
    const tls = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
    writeFileSync(tls.certificate, service.certificate);
    writeFileSync(tls.key, service.privateKey);
    [azurite, cloud] = await Promise.all([startAzurite({ tls }), startCloud()]);
    stage = admin(azurite, "users", authority);
    await stage.client.createTable();
    await stage.put("printer", IDS);
  });
  after(async () => {
    stage.close();
    await Promise.all([azurite.stop(), cloud.close()]);
    rmSync(folder, { recursive: true });
  });
  afterEach(() => {
    for (const name of NAMES) {
      if (earlier[name] === undefined) delete process.env[name];
      else process.env[name] = earlier[name];
    }
  });

  /** @param secret of the identity */
  function byIdentity(secret: string) {
    Object.assign(process.env, {
      AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
      AZURE_TENANT_ID: TENANT,
      AZURE_CLIENT_ID: CLIENT,
      AZURE_CLIENT_SECRET: secret,
    });
    const http = new HttpClient({ authorities: [authority] });
    const opened = open(azurite, {
      authority,
      access: () => azureCredential({ http, authorityHost: cloud.authority }),
    });
    return {
      ...opened,
      close() {
        http.close();
        opened.http.close();
      },
    };
  }

  it("is read with one token for the storage service for all queries", async () => {
    const { table, close } = byIdentity("identity-secret");
    for (let i = 0; i < 3; i++) {
      const row = await table.find("printer", TIMEOUT);
      assert(row !== undefined && !isTrouble(row), JSON.stringify(row));
    }
    assert.equal(await table.find("scanner", TIMEOUT), undefined);
    assert.equal(cloud.entra.requests.get(`${TENANT}/${CLIENT}`), 1);
    close();
  });

  it("whose identity gets no token reports the relay's own secret, without showing it", async () => {
    const { table, close } = byIdentity("expired-secret");
    const answer = await table.find("printer", TIMEOUT);
    assert(answer !== undefined && isTrouble(answer));
    assert.equal(answer.code, "AADSTS7000222");
    assert.match(answer.detail, /relay's own identity .* AZURE_CLIENT_SECRET/);
    assert(!JSON.stringify(answer).includes("expired-secret"));
    close();
  });

  it("with a certificate of an untrusted authority is not read", async () => {
    const { table, http } = open(azurite);
    const answer = await table.find("printer", TIMEOUT);
    assert(answer !== undefined && isTrouble(answer));
    assert.match(answer.code, /CERT|VERIFY|SELF_SIGNED|ISSUER/i);
    http.close();
  });
});

describe("a failing table service", () => {
  // https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes
  const ANSWERS: readonly (readonly [
    status: number,
    code: string | undefined,
    headers: Record<string, string>,
    detail: RegExp,
    requests: number,
  ])[] = [
    [
      429,
      undefined,
      { "retry-after": "60" },
      /^HTTP 429: the table service throttles the relay/,
      1,
    ],
    [503, "ServerBusy", { "retry-after": "60" }, /^ServerBusy: the table service is busy/, 1],
    [503, "ServerBusy", {}, /^ServerBusy: the table service is busy/, 2],
    [500, "InternalError", {}, /^InternalError: the table service has a temporary fault/, 2],
    [401, "InvalidAuthenticationInfo", {}, /^InvalidAuthenticationInfo: access .* is refused/, 1],
    [403, "AuthenticationFailed", {}, /^AuthenticationFailed: .*the relay's clock/, 1],
    [
      403,
      "AuthorizationPermissionMismatch",
      {},
      /role Storage Table Data Reader \(Contributor to change entries\)/,
      1,
    ],
    [404, undefined, {}, /^HTTP 404: there is no table service at AZURE_TABLES_URL/, 1],
    [404, "TableNotFound", {}, /^TableNotFound: the table does not exist/, 1],
    [409, "TableBeingDeleted", {}, /^TableBeingDeleted: the table is being deleted/, 1],
    [302, undefined, {}, /^HTTP 302: /, 1],
    [400, "<script>", {}, /^HTTP 400: the table service does not understand/, 1],
  ];
  for (const [status, code, headers, detail, expected] of ANSWERS) {
    it(`that answers ${status} ${code ?? ""} ${JSON.stringify(headers)} is reported as such`, async () => {
      let requests = 0;
      const said = { "odata.error": { code, message: { lang: "en-US", value: "key=hunter2" } } };
      const table = new LookupTable({
        url: new URL("https://account.table.relay.test/users"),
        partitionKey: "user",
        access: KEY,
        client: {
          ...azureClientOptions(httpClient()),
          retryOptions: { maxRetries: 1, retryDelayInMs: 1, maxRetryDelayInMs: 1 },
          httpClient: {
            sendRequest(request: PipelineRequest): Promise<PipelineResponse> {
              requests++;
              return Promise.resolve({
                request,
                status,
                headers: createHttpHeaders({
                  "content-type": "application/json",
                  ...(code === undefined ? {} : { "x-ms-error-code": code }),
                  ...headers,
                }),
                bodyAsText: code === undefined ? "" : JSON.stringify(said),
              });
            },
          },
        },
      });
      const answer = await table.find("printer", TIMEOUT);
      assert(answer !== undefined && isTrouble(answer), JSON.stringify(answer));
      assert.match(`${answer.code}: ${answer.detail}`, detail);
      assert(!JSON.stringify(answer).includes("hunter2"));
      assert.equal(answer.gone, status === 404 && code !== undefined || status === 409);
      // Access, address and load concern all queries; a rejected query concerns only itself.
      if (!answer.gone) assert.equal(answer.concerns, status === 400 ? "question" : "table");
      assert.equal(requests, expected);
    });
  }
});

describe("a lookup table that cannot be reached", () => {
  it("is given up after the query's timeout, whatever waits", async () => {
    const { table } = open({ url: () => "https://127.0.0.1:1/a/users" } as unknown as Azurite, {
      access: () => new Promise(() => {}),
    });
    const answer = await table.find("printer", 50);
    assert(answer !== undefined && isTrouble(answer));
    assert.deepEqual([answer.code, answer.detail], [
      "ETIMEDOUT",
      "the table did not answer within 0.05 s",
    ]);
  });

  it("and comes back serves again, and is replaced by the cache meanwhile", async () => {
    let now = 0;
    let azurite = await startAzurite();
    const { port } = azurite;
    const seed = async () => {
      const stage = admin(azurite, "users");
      await stage.client.createTable();
      await stage.put("printer", IDS);
      stage.close();
    };
    await seed();
    const { table, http } = open(azurite);
    const reports: string[] = [];
    const entries = new Entries({
      source: table,
      maxAge: 3_600_000,
      clock: { ...realClock, now: () => now },
      onTrouble: ({ code }, served) => void reports.push(`${code} ${served}`),
      onRecovery: () => void reports.push("recovered"),
    });
    assert.equal((await entries.byId("printer")).type, "entry");
    await azurite.stop();
    now = 60_000;
    assert.equal((await entries.byId("printer")).type, "entry");
    const unknown = await entries.byId("scanner");
    assert(unknown.type === "later");
    assert.match(unknown.detail, /^ECONNREFUSED: the table cannot be reached/);
    now = 3_600_000;
    assert.equal((await entries.byId("printer")).type, "later");
    assert.deepEqual(reports, ["ECONNREFUSED true", "ECONNREFUSED false", "ECONNREFUSED false"]);

    azurite = await startAzurite({ port });
    // Azurite keeps its tables in memory: this one has none yet.
    const gone = await entries.byId("printer");
    assert(gone.type === "later");
    assert.match(gone.detail, /^TableNotFound: /);
    await seed();
    assert.equal((await entries.byId("printer")).type, "entry");
    assert.equal(reports.at(-1), "recovered");
    http.close();
    await azurite.stop();
  });
});
