/** What a start depends on outside of the program: all that is wrong with it is said at once. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, afterEach, before, describe, it } from "node:test";
import { CertificateUnavailable } from "../../src/certificates/certificate.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { type CertificateSource, fixedSource } from "../../src/certificates/source.ts";
import { CommandError } from "../../src/exit.ts";
import { HttpClient } from "../../src/http/client.ts";
import { EventLog } from "../../src/observe/event_log.ts";
import { createLog } from "../support/log.ts";
import { certificateSource } from "../../src/relay/certificate_source.ts";
import { outgoingClient, proxyFor, proxyIn } from "../../src/relay/http_client.ts";
import { openOutside } from "../../src/relay/outside.ts";
import { openTable } from "../../src/relay/open_lookup_table.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { Connect, ConnectOptions } from "../../src/runtime/runtime.ts";
import { writeCertificate } from "../support/certificates.ts";
import { closedPort } from "../support/raw_server.ts";
import { plainSettings } from "../support/settings.ts";

const VAULT = {
  TLS_SOURCE: "keyvault",
  AZURE_KEY_VAULT_URL: "https://vault.vault.azure.net",
  AZURE_KEY_VAULT_CERT_NAME: "relay",
};

let directory: string;
before(() => void (directory = mkdtempSync(join(tmpdir(), "outside-"))));
after(() => rmSync(directory, { recursive: true }));
const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function open(
  environment: Readonly<Record<string, string>>,
  certificates?: CertificateSource,
) {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  const log = createLog({ level: "DEBUG", format: "json", write });
  const settings = plainSettings(environment);
  const runtime = await currentRuntime();
  const outside = await openOutside({
    settings,
    log,
    notify: new EventLog(log).notify,
    runtime,
    certificates,
  });
  ends.push(() => outside.client.close(), () => outside.tls?.close());
  return { ...outside, lines };
}

async function problems(opening: Promise<unknown>): Promise<[number, readonly string[]]> {
  try {
    await opening;
  } catch (error) {
    assert.ok(error instanceof CommandError, String(error));
    return [error.status, error.lines];
  }
  throw new Error("it has started");
}

describe("the certificate", () => {
  it("is that of TLS_CERT_FILEPATH and TLS_KEY_FILEPATH", async () => {
    const certificate = await selfSignedCertificate();
    const { certificatePath, keyPath } = writeCertificate(directory, "own", certificate);
    const { tls } = await open({
      TLS_SOURCE: "file",
      TLS_CERT_FILEPATH: certificatePath,
      TLS_KEY_FILEPATH: keyPath,
    });
    assert.equal(tls?.state.source, "file");
    // Not by an assertion of equality, which would print the key.
    assert.ok(tls?.identity.privateKey.trim() === certificate.privateKey.trim());
  });

  it("is none with TLS_SOURCE=off, whatever is given; else a given one takes the files' place", async () => {
    const given = fixedSource("given", await selfSignedCertificate());
    assert.equal((await open({ TLS_SOURCE: "off" }, given)).tls, undefined);
    assert.equal((await open({ TLS_SOURCE: "file" }, given)).tls?.state.source, "given");
  });

  it("is that of the vault, for which the Azure SDK is loaded", async () => {
    const client = new HttpClient();
    ends.push(() => client.close());
    const source = await certificateSource(plainSettings(VAULT), client);
    assert.equal(source?.name, "keyvault");
    assert.equal(await certificateSource(plainSettings(), client), undefined);
  });
});

describe("a start with mistakes", () => {
  const missing = () => join(directory, "missing.pem");

  it("names all of them at once: 78", async () => {
    const [status, lines] = await problems(open({
      TLS_SOURCE: "file",
      TLS_CERT_FILEPATH: missing(),
      TLS_KEY_FILEPATH: missing(),
      EXTRA_CA_CERTS_FILEPATH: missing(),
    }));
    assert.equal(status, 78);
    assert.match(lines[0]!, /^EXTRA_CA_CERTS_FILEPATH /);
    assert.ok(lines.some((line) => line.startsWith("TLS_CERT_FILEPATH ")), lines.join("\n"));
  });

  it("names broken authorities alone where the vault would be asked by them", async () => {
    const broken = join(directory, "broken.pem");
    writeFileSync(broken, "no certificate");
    const [status, lines] = await problems(open({ ...VAULT, EXTRA_CA_CERTS_FILEPATH: broken }));
    assert.deepEqual([status, lines.length], [78, 1]);
  });

  it("watches over no certificate any more", async () => {
    const certificate = await selfSignedCertificate();
    let looks = 0;
    const source: CertificateSource = {
      name: "watched",
      interval: 1,
      patience: 0,
      read({ known }) {
        looks++;
        return Promise.resolve(known === undefined ? { certificate, revision: "1" } : undefined);
      },
    };
    await problems(open({ TLS_SOURCE: "file", EXTRA_CA_CERTS_FILEPATH: missing() }, source));
    const before = looks;
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual([before, looks], [1, 1]);
  });

  it("is 69 where the certificate cannot be had for the moment", async () => {
    const away: CertificateSource = {
      name: "away",
      interval: undefined,
      patience: 0,
      read: () => Promise.reject(new CertificateUnavailable("the vault does not answer")),
    };
    assert.deepEqual(
      await problems(open({ TLS_SOURCE: "file" }, away)),
      [69, ["the vault does not answer"]],
    );
  });

  it("leaves a bug what it is", async () => {
    const broken: CertificateSource = {
      name: "broken",
      interval: undefined,
      patience: 0,
      read: () => Promise.reject(new Error("a bug")),
    };
    await assert.rejects(open({ TLS_SOURCE: "file" }, broken), /^Error: a bug$/);
  });
});

describe("the proxy", () => {
  const environment = {
    HTTPS_PROXY: "http://user:a-secret@proxy.example:3128",
    NO_PROXY: "vault.example",
  };

  it("is logged without its password, and only where there is one", async () => {
    const { lines } = await open(environment);
    const [line] = lines.filter(({ message }) => /proxy/i.test(String(message)));
    assert.equal(line?.["proxy"], "proxy.example:3128");
    assert.ok(!JSON.stringify(lines).includes("a-secret"));
    assert.deepEqual((await open({})).lines, []);
  });

  it("is on the way to each service but those of NO_PROXY", () => {
    const settings = plainSettings(environment);
    assert.equal(proxyIn(settings)?.hostname, "proxy.example");
    assert.equal(proxyFor(settings, "graph.example", 443)?.port, 3128);
    assert.equal(proxyFor(settings, "vault.example", 443), undefined);
    assert.deepEqual([proxyIn(plainSettings()), proxyFor(plainSettings(), "x", 443)], [
      undefined,
      undefined,
    ]);
  });

  it("is asked for the service, and an exempt service is connected to with the authorities", async () => {
    const port = await closedPort();
    const settings = plainSettings({
      HTTPS_PROXY: `http://127.0.0.1:${port}`,
      NO_PROXY: "vault.example",
    });
    const connected: ConnectOptions[] = [];
    const connect: Connect = (options, handler) => {
      connected.push(options);
      queueMicrotask(() => handler.closed(new Error("enough")));
      return { write: () => true, destroy() {} };
    };
    const ask = async (proxies: typeof settings, host: string) => {
      const client = outgoingClient(proxies, { connect }, ["an authority"]);
      ends.push(() => client.close());
      const url = new URL(`https://${host}/`);
      const result = await client.request({ method: "GET", url, headers: {}, timeout: 5_000 });
      return result.type === "failure" ? result.message : result.status;
    };
    assert.match(
      String(await ask(settings, "graph.example")),
      new RegExp(`the proxy 127\\.0\\.0\\.1:${port} cannot be reached`),
    );
    assert.equal(connected.length, 0);
    await ask(settings, "vault.example");
    await ask(plainSettings({ NO_PROXY: "" }), "graph.example");
    assert.deepEqual(
      connected.map(({ hostname, port, tls }) => [hostname, port, tls?.authorities]),
      [["vault.example", 443, ["an authority"]], ["graph.example", 443, ["an authority"]]],
    );
  });
});

describe("the lookup table", () => {
  const CONNECTION = "DefaultEndpointsProtocol=https;AccountName=account;AccountKey=a2V5;" +
    "EndpointSuffix=core.windows.net";
  const URL_ = { AZURE_TABLES_URL: "https://account.table.core.windows.net/users" };
  const variable = "AZURE_TOKEN_CREDENTIALS";
  let given: string | undefined;
  before(() => void (given = process.env[variable]));
  afterEach(() => {
    if (given === undefined) delete process.env[variable];
    else process.env[variable] = given;
  });
  const opened = (environment: Readonly<Record<string, string>>) => {
    const client = new HttpClient();
    ends.push(() => client.close());
    return openTable(plainSettings(environment), client);
  };

  it("is opened where it is set", async () => {
    delete process.env[variable];
    assert.equal(await opened({}), undefined);
    assert.equal((await opened(URL_))?.address, "https://account.table.core.windows.net/users");
  });

  it("needs an AZURE_TOKEN_CREDENTIALS that means something, unless it has a connection string", async () => {
    process.env[variable] = "Nonsense";
    const [status, lines] = await problems(opened(URL_));
    assert.equal(status, 78);
    assert.match(lines[0]!, /AZURE_TOKEN_CREDENTIALS/);
    const table = await opened({ ...URL_, AZURE_TABLES_CONNECTION_STRING: CONNECTION });
    assert.ok(table !== undefined);
  });
});
