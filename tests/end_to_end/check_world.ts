/** The world that `check` examines: files, ports and services, each of them sound or broken. */
import { Buffer } from "node:buffer";
import { createHash, createPrivateKey } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { AzureNamedKeyCredential, TableClient } from "@azure/data-tables";
import { type Made, make } from "../check/certificates.ts";
import { ACCOUNT, ACCOUNT_KEY, type Azurite, startAzurite } from "../support/azurite.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { P224 } from "../support/key_kinds.ts";
import { startProxy } from "../support/proxy.ts";
import { startVault, type Vault, VAULT_SECRET } from "../support/vault.ts";
import { CLIENT, TENANT } from "./programs.ts";

export const HOST = "smtp.example.com";
/** Nothing in it needs escaping, so that it is found wherever it is printed. */
export const SECRET = "S3cret-that-must-not-show";
const PROXY_SECRET = "Pr0xy-secret-that-must-not-show";
export const USERNAME = `${TENANT}@${CLIENT}`;
/** Clients of the simulated Entra ID, by what they may do. */
export const APPS = {
  sendOnly: "22222222-0000-0000-0000-000000000001",
  readOnly: "22222222-0000-0000-0000-000000000002",
  noRoles: "22222222-0000-0000-0000-000000000003",
} as const;

const ROLES: Readonly<Record<string, readonly string[]>> = {
  [APPS.sendOnly]: ["Mail.Send"],
  [APPS.readOnly]: ["User.Read.All"],
  [APPS.noRoles]: [],
};

export interface World {
  readonly cloud: CloudServer;
  /** Has the certificates `good` and `expired`, and `locked`, whose key it does not export. */
  readonly vault: Vault;
  /** The address of a table: `users`, `mistakes`, `unbound`, `empty`, or one that does not exist. */
  table(name: string): string;
  /** The path of a file in the world's folder. */
  file(name: string): string;
  /** What a sound relay is configured with. */
  readonly sound: Readonly<Record<string, string>>;
  /** URLs of broken services. */
  readonly services: {
    readonly refused: string;
    readonly silent: string;
    readonly closing: string;
    readonly page: string;
    readonly intercepted: string;
    readonly misnamed: string;
    readonly outOfTime: string;
  };
  /** URLs of proxies, for HTTPS_PROXY. */
  readonly proxies: {
    /** Requires another password than it gets. */
    readonly locked: string;
    /** Shows a certificate of its own for every service. */
    readonly opening: string;
    readonly refused: string;
  };
  /** The same services with another clock, by its offset in seconds. */
  clock(offset: number): Promise<string>;
  /** A port that another program listens on. */
  readonly taken: number;
  /** The texts that must never be printed. */
  readonly secrets: readonly string[];
  close(): Promise<void>;
}

export async function createWorld(): Promise<World> {
  /** The relay's own certificate, which one app has. */
  const registered = await make({ name: "relay", bits: 2048, from: -1, until: 364 });
  const cloud = await startCloud({
    entra: {
      roles: (client) => ROLES[client] ?? ["Mail.Send", "Mail.ReadWrite"],
      app: (client) => client === CLIENT ? { certificates: [registered.certificate] } : undefined,
    },
    graph: { hasMailbox: (mailbox) => !mailbox.startsWith("nobody@") },
  });
  const root = await make({ name: "Example Root", ca: true, from: -100, until: 1000 });
  const intermediate = await make({
    name: "Example Issuing CA",
    ca: true,
    issuer: root,
    from: -100,
  });
  const corporate = await make({ name: "Corp Firewall CA", ca: true, until: 1000 });
  const leaf = (names: readonly string[], from: number, until: number) =>
    make({ name: HOST, issuer: intermediate, names, from, until });
  const good = await leaf([HOST], -1, 89);
  const secrets: string[] = [SECRET];

  const vault = await startVault(cloud);
  const stored = ({ certificate, privateKey }: Made) => ({
    certificates: [certificate, intermediate.certificate, root.certificate] as const,
    privateKey,
  });
  vault.putPkcs12("good", stored(good));
  vault.putPem("expired", stored(await leaf([HOST], -90, -12)));
  vault.putPem("locked", stored(good), good.certificate);
  secrets.push(VAULT_SECRET);

  const azurite = await startAzurite();
  await fillTables(azurite);
  secrets.push(ACCOUNT_KEY);

  const directory = mkdtempSync(join(tmpdir(), "relay-check-"));
  const file = (name: string) => join(directory, name);
  const write = (name: string, ...parts: readonly (Made | string)[]) =>
    writeFileSync(
      file(name),
      parts.map((part) => typeof part === "string" ? part : part.certificate).join(""),
    );
  const writeKey = (name: string, { privateKey }: Made) => {
    writeFileSync(file(name), privateKey);
    secrets.push(...privateKey.split("\n").filter((line) => line.length > 40));
  };
  write("root.pem", root);
  write("cert.pem", good, intermediate);
  writeKey("key.pem", good);
  writeKey("other-key.pem", corporate);
  writeFileSync(
    file("locked-key.pem"),
    createPrivateKey(good.privateKey).export({
      type: "pkcs8",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: PROXY_SECRET,
    }),
  );
  writeFileSync(file("p224.pem"), P224.certificate);
  writeFileSync(file("p224-key.pem"), P224.privateKey);
  write("half.pem", good.certificate.slice(0, 500));
  write("leaf-only.pem", good);
  write("wrong-order.pem", intermediate, good);
  write("nonsense.pem", "nothing of the kind\n");
  mkdirSync(file("directory.pem"));
  write("password", `${SECRET}\n`);
  write("empty", "\n");
  for (
    const [name, made] of Object.entries({
      expired: await leaf([HOST], -90, -12),
      future: await leaf([HOST], 12, 90),
      soon: await leaf([HOST], -80, 5),
      misnamed: await leaf(["mail.example.org"], -1, 89),
      nameless: await make({ name: HOST, issuer: intermediate }),
      weak: await make({ name: HOST, issuer: intermediate, names: [HOST], bits: 1024 }),
    })
  ) {
    write(`${name}.pem`, made, intermediate);
    writeKey(`${name}-key.pem`, made);
  }
  const own = await make({ name: HOST, names: [HOST] });
  write("self-signed.pem", own);
  writeKey("self-signed-key.pem", own);

  for (
    const [name, made] of Object.entries({
      client: registered,
      "client-soon": await make({ name: "relay", bits: 2048, from: -335, until: 20.5 }),
      "client-ended": await make({ name: "relay", bits: 2048, from: -400, until: -12 }),
    })
  ) {
    write(`${name}.pem`, made);
    writeKey(`${name}-key.pem`, made);
  }
  writeFileSync(file("token.jwt"), FEDERATED_TOKEN);
  secrets.push(...writeLookups(file));

  const servers: { close(): Promise<void> }[] = [];
  const serve = async (server: Server) => {
    const open = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => open.delete(socket));
    });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    servers.push({
      close() {
        for (const socket of open) socket.destroy();
        return new Promise((resolve) => server.close(() => resolve()));
      },
    });
    return (server.address() as AddressInfo).port;
  };
  const tls = async (made: Made, ...chain: Made[]) => {
    const cert = [made, ...chain].map(({ certificate }) => certificate).join("");
    return `https://localhost:${await serve(createTlsServer({ cert, key: made.privateKey }))}`;
  };
  const closing = createServer();
  const refused = await serve(closing);
  await servers.pop()!.close();
  const intercepted = await tls(
    await make({ name: "localhost", issuer: corporate, names: ["localhost"] }),
  );
  const locked = await startProxy({ route: () => undefined, credentials: "relay:right" });
  const opening = await startProxy({ route: () => Number(new URL(intercepted).port) });
  servers.push(locked, opening);
  secrets.push(PROXY_SECRET);
  const clocks = new Map<number, Promise<string>>();

  return {
    cloud,
    vault,
    table: (name) => azurite.url(name),
    file,
    secrets,
    sound: {
      TLS_CERT_FILEPATH: file("cert.pem"),
      TLS_KEY_FILEPATH: file("key.pem"),
      SERVER_HOSTNAME: HOST,
      EXTRA_CA_CERTS_FILEPATH: file("root.pem"),
      SMTP_LISTEN: "127.0.0.1:0",
      SMTPS_LISTEN: "127.0.0.1:0",
      HTTP_LISTEN: "127.0.0.1:0",
      AZURE_AUTHORITY_HOST: cloud.authority.href,
      GRAPH_ENDPOINT: cloud.endpoint.href,
      RELAY_PASSWORD: SECRET,
      LOG_LEVEL: "DEBUG",
    },
    services: {
      refused: `http://127.0.0.1:${refused}`,
      silent: `http://127.0.0.1:${await serve(createServer(() => {}))}`,
      closing: `http://127.0.0.1:${await serve(
        createServer((socket) => socket.once("data", () => socket.destroy())),
      )}`,
      page: `http://127.0.0.1:${await serve(
        createHttpServer((_, response) => response.end("<h1>Welcome to the hotel</h1>")),
      )}`,
      intercepted,
      misnamed: await tls(await leaf(["elsewhere.example.net"], -1, 89), intermediate),
      outOfTime: await tls(await leaf(["localhost"], -90, -12), intermediate),
    },
    proxies: {
      locked: `http://relay:${PROXY_SECRET}@127.0.0.1:${locked.port}`,
      opening: opening.url,
      refused: `http://127.0.0.1:${refused}`,
    },
    clock(offset) {
      const known = clocks.get(offset);
      if (known !== undefined) return known;
      const server = createHttpServer((request, response) => {
        const graph = request.url!.endsWith("/me");
        const body = graph ? { error: { code: "InvalidAuthenticationToken" } } : {
          token_endpoint: "https://login.example/token",
        };
        response.writeHead(graph ? 401 : 200, {
          Date: new Date(Date.now() + offset * 1000).toUTCString(),
          "Content-Type": "application/json",
        }).end(JSON.stringify(body));
      });
      const url = serve(server).then((port) => `http://127.0.0.1:${port}`);
      clocks.set(offset, url);
      return url;
    },
    taken: await serve(createServer()),
    async close() {
      await Promise.all(servers.map((server) => server.close()));
      await azurite.stop();
      await vault.close();
      await cloud.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** Of a cluster that no app trusts. */
const FEDERATED_TOKEN = [
  { alg: "RS256", kid: "1", typ: "JWT" },
  {
    iss: "https://oidc.example.com/cluster/",
    sub: "system:serviceaccount:smtp-relay:smtp-oauth-relay",
    aud: ["api://AzureADTokenExchange"],
    exp: Math.floor(Date.now() / 1000) + 3600,
  },
].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".") +
  `.${Buffer.from("signature").toString("base64url")}`;

/** Files for LOOKUP_FILE. @returns what must not show */
function writeLookups(file: (name: string) => string): readonly string[] {
  const salt = Buffer.from("sixteen octets..");
  const hash = createHash("sha256").update(salt).update(SECRET).digest();
  const parts = [salt, hash].map((octets) => octets.toString("base64").replace(/=+$/, ""));
  const app = { tenant_id: TENANT, client_id: CLIENT, from_email: "scanner@example.com" };
  const device = { ...app, password_hash: `$sha256$${parts.join("$")}`, credential: "certificate" };
  const lookups: Record<string, unknown> = {
    devices: { scanner: device, plain: app },
    unregistered: { scanner: { ...device, client_id: APPS.sendOnly } },
    cluster: { scanner: { ...device, credential: "workload-identity" } },
    mistakes: { scanner: device, unbound: { ...device, from_email: "" } },
    empty: {},
  };
  for (const [name, entries] of Object.entries(lookups)) {
    writeFileSync(file(`${name}.json`), JSON.stringify(entries));
    chmodSync(file(`${name}.json`), 0o600);
  }
  writeFileSync(file("half.json"), JSON.stringify(lookups["devices"]).slice(0, -5));
  writeFileSync(file("open.json"), JSON.stringify(lookups["devices"]));
  chmodSync(file("open.json"), 0o644);
  return parts;
}

async function fillTables(azurite: Azurite): Promise<void> {
  const entry = { tenant_id: TENANT, client_id: CLIENT };
  const tables = {
    users: {
      scanner: { ...entry, from_email: "scanner@example.com" },
      retired: { ...entry, disabled: true },
    },
    mistakes: { scanner: entry, typo: { ...entry, client_id: "not-a-uuid" } },
    empty: {},
    unbound: { printers: entry },
  };
  const key = new AzureNamedKeyCredential(ACCOUNT, ACCOUNT_KEY);
  for (const [name, rows] of Object.entries(tables)) {
    const service = azurite.url("").replace(/\/$/, "");
    const client = new TableClient(service, name, key, { allowInsecureConnection: true });
    await client.createTable();
    for (const [rowKey, columns] of Object.entries(rows)) {
      await client.createEntity({ partitionKey: "user", rowKey, ...columns });
    }
  }
}
