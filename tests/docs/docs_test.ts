/**
 * The documentation against the code: tables, links, names, log lines and the rooms of src/. What a
 * page says about the program is compared with it, so that the two cannot drift apart unnoticed.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { PAGES, withTables } from "../../scripts/docs.ts";
import { AADSTS } from "../../src/entra/entra_errors.ts";
import { TOKEN_FAULTS } from "../../src/entra/claims.ts";
import { BY_CODE, BY_STATUS } from "../../src/graph/graph_errors.ts";
import { LACKING } from "../../src/smtp_backend/smtp_errors.ts";
import { NOT_SENT } from "../../src/graph/not_sent.ts";
import { UNREADABLE } from "../../src/queue/verdict.ts";
import { cloudOf } from "../../src/settings/clouds.ts";
import { SETTINGS, type Settings } from "../../src/settings/schema.ts";
import type { Setting } from "../../src/settings/setting.ts";
import { formatReply, REPLIES, type Reply } from "../../src/smtp/reply.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOREIGN = new Set(["node_modules", "dist", ".git", "certs"]);

/** Paths from the top of the project. */
function filesUnder(folder: string, ending: string): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    if (FOREIGN.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesUnder(path, ending);
    return entry.name.endsWith(ending) ? [path] : [];
  });
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

const MARKDOWN = filesUnder("", ".md");
/** The pages for users and developers of the program, as opposed to notes in other folders. */
const DOCS = MARKDOWN.filter((path) => !path.startsWith("tests") && !path.startsWith("bench"));
const SOURCES = filesUnder("src", ".ts").map((path) => ({ path, text: read(path) }));
const SETTINGS_PAGE = read("docs/settings.md");
const REPLIES_PAGE = read("docs/replies.md");

describe("tables made from the source", () => {
  for (const page of PAGES) {
    it(`are up to date in ${page}`, () => {
      const text = read(page);
      assert.match(text, /<!-- table: /);
      assert.ok(withTables(text) === text, 'run "bun scripts/docs.ts"');
    });
  }

  it("refuse a page that names a table which does not exist", () => {
    assert.throws(() => withTables("<!-- table: nonsense -->\n<!-- end of table -->"), /nonsense/);
  });

  it("are restored if they were edited", () => {
    const text = read("docs/settings.md");
    const edited = text.replace("| `REQUIRE_TLS` | `true` |", "| `REQUIRE_TLS` | `false` |");
    assert.notEqual(edited, text);
    assert.equal(withTables(edited), text);
  });
});

describe("settings.md", () => {
  for (const name of Object.keys(SETTINGS)) {
    it(`has ${name}`, () => assert.ok(SETTINGS_PAGE.includes(`| \`${name}\``)));
  }

  for (const cloud of ["public", "usgov", "usgov-dod", "china"] as const) {
    it(`says where the cloud ${cloud} is`, () => {
      const { authorityHost, graphEndpoint } = cloudOf({ AZURE_CLOUD: cloud } as Settings);
      const row = SETTINGS_PAGE.split("\n").find((line) =>
        line.startsWith(`| \`${cloud}\``) && line.includes("https://")
      ) ?? "no row";
      assert.ok(row.includes(`\`${authorityHost.origin}\``), row);
      assert.ok(row.includes(`\`${graphEndpoint.origin}\``), row);
    });
  }
});

describe("replies.md", () => {
  for (const [name, reply] of Object.entries(REPLIES) as [string, Reply][]) {
    it(`has the reply ${name}`, () => {
      assert.ok(REPLIES_PAGE.includes(`\`${formatReply(reply).trim()}\``));
    });
  }

  it("has every answer of Entra ID and Graph", () => {
    for (const number of Object.keys(AADSTS)) {
      assert.ok(REPLIES_PAGE.includes(`| \`AADSTS${number}\``), number);
    }
    for (const code of Object.keys(BY_CODE)) {
      assert.ok(REPLIES_PAGE.includes(`| \`${code}\``), code);
    }
    for (const status of Object.keys(BY_STATUS)) {
      assert.ok(REPLIES_PAGE.includes(`| \`HTTP ${status}\``), status);
    }
  });

  // `reply(501, "5.5.4", "Syntax: …")`: replies that are made where they are given.
  const MADE = /\breply\(\s*(\d{3}),\s*"([\d.]+)",\s*(?:"([^"]*)"|`([^`]*)`)/g;
  const made = SOURCES.filter(({ path }) => path !== join("src", "smtp", "reply.ts"))
    .flatMap(({ path, text }) => [...text.matchAll(MADE)].map((match) => ({ path, match })));

  it("finds the replies that are made where they are given", () => assert.ok(made.length > 10));

  for (const { path, match } of made) {
    const [, code, enhanced, plain, template] = match;
    const text = plain ?? template ?? "";
    it(`has ${code} ${enhanced} ${text} of ${path}`, () => {
      assert.ok(REPLIES_PAGE.includes(`${code} ${enhanced}`));
      const fixed = text.split(/\$\{[^}]*\}/).map((part) => part.trim());
      for (const part of fixed.filter((part) => part.length > 3)) {
        assert.ok(REPLIES_PAGE.includes(part), part);
      }
    });
  }

  it("has every reason to refuse a username", () => {
    const source = read("src/accounts/username.ts");
    // With the standard delimiter, as a client sees it.
    const problems = [...source.matchAll(/\binvalid\((?:"([^"]+)"|`([^`]+)`)\)/g)].map((match) =>
      (match[1] ?? match[2] ?? "").replaceAll("${delimiter}", "@")
        .replaceAll("${form}", "tenant@client or id@lookup")
    );
    assert.ok(problems.length >= 7);
    for (const problem of problems) {
      const shown = problem[0]!.toUpperCase() + problem.slice(1);
      assert.ok(REPLIES_PAGE.includes(`\`535 5.7.8 ${shown}\``), shown);
    }
  });
});

/** Without fenced blocks, whose `#` are no headings and whose brackets are no links. */
function prose(text: string): string {
  return text.replace(/^(`{3,}).*\n[\s\S]*?^\1$/gm, "");
}

/** The fragments that GitHub makes of the headings. */
function anchorsOf(path: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of prose(read(path)).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[`*_]/g, "");
    const slug = text.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
    let unique = slug;
    for (let i = 1; anchors.has(unique); i++) unique = `${slug}-${i}`;
    anchors.add(unique);
  }
  return anchors;
}

describe("links between the pages", () => {
  it("are found", () => assert.ok(DOCS.includes("README.md") && DOCS.length > 8, String(DOCS)));

  for (const page of MARKDOWN) {
    it(`lead somewhere in ${page}`, () => {
      const text = prose(read(page)).replace(/`[^`\n]*`/g, "");
      for (const [link, target = ""] of text.matchAll(/\]\(<?([^)\s>]+)>?[^)]*\)/g)) {
        if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
        const [file = "", anchor] = target.split("#");
        const path = file === "" ? page : relative(ROOT, join(ROOT, dirname(page), file));
        assert.ok(existsSync(join(ROOT, path)), `${link}: ${path} does not exist`);
        if (anchor === undefined) continue;
        assert.ok(anchorsOf(path).has(anchor), `${link}: no such heading in ${path}`);
      }
    });
  }
});

/** Words in the form of a setting that are not settings. */
const NO_SETTINGS = new Set([
  "MAIL_LOOP",
  // Stand for something in an example.
  "TENANT_ID",
  "CLIENT_ID",
  "CLIENT_SECRET",
  "OBJECT_ID",
  "KEY_ID",
  "PRINCIPAL_ID",
  "NAME_FILE",
  "REPO_OWNER",
  // Misspellings that the relay warns about.
  "USERNAME_DELIMTER",
  "TLS_SOURC",
  // Of systemd, the kernel, the build and the log.
  "CREDENTIALS_DIRECTORY",
  "CAP_NET_BIND_SERVICE",
  "BUILD_BASE",
  "RUNTIME_BASE",
  "RELAY_BUILD_COMMIT",
  "SOURCE_DATE_EPOCH",
  "NO_SENDER",
  "NO_IDENTITY",
  // Of the tests.
  "UPDATE_WORK",
  // A password for `check`, which is no setting of the relay.
  "RELAY_PASSWORD",
  "SENDER_NOT_ALLOWED",
  "CREDENTIAL_UNSET",
  "TOKEN_FILE",
  "HEADER_TOO_LARGE",
  "MIME_TOO_DEEP",
  "MIME_TOO_MANY_PARTS",
  "LOOKUP_ENTRY",
  "TABLE_CROWDED",
  "HTTPS_PROXY_FILE",
  // Of other programs; without effect here.
  "HTTP_PROXY",
  "ALL_PROXY",
  // Of Node and of Python's libraries; other names of one of ours.
  "NODE_EXTRA_CA_CERTS",
  "SSL_CERT_FILE",
  "REQUESTS_CA_BUNDLE",
  // Of the Azure SDK.
  "AZURE_TENANT_ID",
  "AZURE_CLIENT_ID",
  "AZURE_FEDERATED_TOKEN_FILE",
  "IDENTITY_ENDPOINT",
  "IDENTITY_400",
  "AZURE_TOKEN_CREDENTIALS",
  // A file beside the executables.
  "THIRD_PARTY_LICENSES",
  // Of certbot.
  "RENEWED_LINEAGE",
  // Of terminals (no-color.org).
  "NO_COLOR",
  // Of TLS libraries.
  "TLS_AES_256_GCM_SHA384",
  "UNSUPPORTED_PROTOCOL",
  "NO_SHARED_CIPHER",
  "UNKNOWN_CA",
  "BAD_CERTIFICATE",
  "BAD_PACKET_LENGTH",
  "CERTIFICATE_UNKNOWN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  // Of a proxy (runtime/tunnel.ts).
  "PROXY_407",
  "PROXY_403",
  "PROXY_502",
  "PROXY_ECONNREFUSED",
  "PROXY_ENOTFOUND",
  // A page of Postfix.
  "SASL_README",
  // Of other programs' configuration, in recipes.md.
  "REMOTE_SMTP_SMARTHOST_HOSTS_REQUIRE_TLS",
  "REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS",
  "REMOTE_SMTP_SMARTHOST_TLS_VERIFY_CERTIFICATES",
  "SMART_HOST",
  "RELAY_MAILER_ARGS",
  "GENERICS_DOMAIN",
  "RELAY_FINGERPRINT",
  // The service manager's (sd_notify(3), sd_listen_fds(3)).
  "NOTIFY_SOCKET",
  "JOURNAL_STREAM",
  "LISTEN_FDS",
  "MONOTONIC_USEC",
  // The relay's own reasons, in replies and log lines.
  "OVER_SHARE",
  "QUEUE_VERSION",
  "BACKEND_UNSET",
  "PARTLY_SENT",
  "SMTP_RECIPIENTS",
  "TOKEN_UNVERIFIED",
  ...Object.values(LACKING).map(({ name }) => name),
  "WRONG_PASSWORD",
  "NO_PASSWORD_HASH",
  "NO_CREDENTIAL",
  "CREDENTIAL_UNSET",
  // Of SQLite and Azure Storage.
  "SQLITE_FULL",
  "SQLITE_READONLY",
  "SQLITE_IOERR",
  "SQLITE_CORRUPT",
  "SQLITE_NOTADB",
  "TLS1_2",
  "CERT_HAS_EXPIRED",
  "PROXY_403",
  // Of the tests' properties (tests/support/property.ts).
  "PROPERTY_SEED",
  "PROPERTY_RUNS",
  "PROPERTY_SECONDS",
  ...Object.keys(NOT_SENT),
  ...Object.keys(TOKEN_FAULTS),
]);

describe("names in the pages", () => {
  for (const page of DOCS) {
    it(`of settings exist: ${page}`, () => {
      for (const [name] of read(page).matchAll(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g)) {
        if (NO_SETTINGS.has(name)) continue;
        // A secret may come from a file.
        const setting = (SETTINGS as Record<string, Setting<unknown>>)[name.replace(/_FILE$/, "")];
        const known = name in SETTINGS || setting?.secret === true;
        assert.ok(known, `${name} is no setting`);
      }
    });
  }

  const program = read("src/commands/program.ts");
  const commands = [...program.matchAll(/^command\("([a-z-]+)"/gm)].map((match) => match[1]!);

  it("of commands exist", () => {
    assert.ok(commands.includes("serve"));
    for (const page of DOCS) {
      // In a console example, or in a code span; not as the last word of another command.
      for (
        const [line, name] of read(page).matchAll(
          /(?:^ *|`|\$ |&& )smtp-oauth-relay ([a-z][a-z-]*)/gm,
        )
      ) {
        assert.ok(commands.includes(name!), `${page}: ${line}`);
      }
    }
  });

  it("of package scripts exist", () => {
    const scripts = JSON.parse(read("package.json")).scripts as Record<string, string>;
    for (const page of DOCS) {
      for (const [, name] of read(page).matchAll(/\bnpm run ([a-z]+)/g)) {
        assert.ok(name! in scripts, `${page}: npm run ${name}`);
      }
    }
  });
});

describe("log lines in the pages", () => {
  // `WARNING Login refused … detail="…"`: the words between the level and the first field.
  const LINE = /\b(?:DEBUG|INFO|WARNING|ERROR) ([A-Z][^`\n]*?)(?= …| [a-z]+=|`|$)/gm;
  const quoted = DOCS.flatMap((page) =>
    [...read(page).matchAll(LINE)].map(([, words]) => ({ page, words: words! }))
  );

  it("are found", () => assert.ok(quoted.length > 8, String(quoted.length)));

  it("are the program's own", () => {
    for (const { page, words } of quoted) {
      if (words.startsWith("USERNAME_DELIMTER")) continue;
      assert.ok(SOURCES.some(({ text }) => text.includes(words)), `${page}: "${words}"`);
    }
  });
});

/** What each room of src/ imports: at run time, or with its types. */
function importsOf(room: string, types: boolean): Set<string> {
  const files = SOURCES.filter(({ path }) =>
    path === join("src", room) || path.startsWith(join("src", room, "/"))
  );
  assert.ok(files.length > 0, room);
  const found = new Set<string>();
  for (const { path, text } of files) {
    // Types are gone at run time; an import of nothing but types says so.
    const code = types ? text : text.replace(/^(?:import|export) type [\s\S]*?;$/gm, "");
    for (const [, target] of code.matchAll(/(?:from|import\() ?"(\.[^"]+)"/g)) {
      const [first = "", second = ""] = join(dirname(path), target!).split("/");
      if (first === "src" && second !== room) found.add(second);
    }
  }
  return found;
}

describe("the picture in architecture.md", () => {
  const [, picture = ""] = /```mermaid\n([\s\S]*?)```/.exec(read("docs/architecture.md")) ?? [];
  const name = (node: string) => /\["(.+)"\]/.exec(node)?.[1] ?? node.trim();
  const full = (room: string) => room === "main" ? "main.ts" : room;
  const arrows = [...picture.matchAll(/^ *(\S+) (-->|==>) (.+)$/gm)].flatMap((
    [, from, arrow, to],
  ) => to!.split(" & ").map((node) => [full(name(from!)), full(name(node)), arrow!] as const));
  const imports = (from: string, to: string) => importsOf(from, true).has(to);

  it("has only arrows that are imports, or lead to what implements an interface", () => {
    assert.ok(arrows.length > 20);
    const wrong = arrows.filter(([from, to, arrow]) =>
      !imports(from, to) && (arrow === "-->" || !imports(to, from))
    );
    assert.deepEqual(wrong, []);
  });

  it("reaches every folder from main.ts", () => {
    const reached = new Set(["main.ts"]);
    for (const room of reached) {
      for (const [from, to] of arrows) if (from === room) reached.add(to);
    }
    const folders = readdirSync(join(ROOT, "src")).filter((entry) => !entry.endsWith(".ts"));
    assert.deepEqual([...reached].sort(), [...folders, "main.ts"].sort());
  });
});

describe("rooms in architecture.md", () => {
  const [, page = ""] = read("docs/architecture.md").split("<!-- rooms -->");
  const rows = [...page.matchAll(/^\| `([a-z_.]+)\/?` +\|[^|]*\| ([^|]*?) *\|$/gm)];
  const rooms = new Map(rows.map(([, name, imports]) => [name!, imports!]));

  it("are the folders of src/", () => {
    const entries = readdirSync(join(ROOT, "src")).sort();
    assert.deepEqual([...rooms.keys()].sort(), entries);
  });

  it("import only from rooms below them", () => {
    const order = [...rooms.keys()];
    const climbs = order.flatMap((room, place) =>
      [...importsOf(room, false)].filter((other) => order.indexOf(other) <= place)
        .map((other) => `${room} from ${other}`)
    );
    assert.deepEqual(climbs, []);
  });

  for (const [room, allowed] of rooms) {
    if (allowed === "all") continue;
    it(`import from nowhere else: ${room} from ${allowed}`, () => {
      const found = importsOf(room, false);
      const [, closed] = /^all but ([a-z]+)$/.exec(allowed) ?? [];
      if (closed !== undefined) return assert.ok(!found.has(closed), [...found].join(", "));
      const expected = allowed === "nothing" ? [] : allowed.split(", ").sort();
      assert.deepEqual([...found].sort(), expected);
    });
  }

  it("leave the runtimes' names to runtime/", () => {
    for (const { path, text } of SOURCES) {
      if (path.startsWith(join("src", "runtime"))) continue;
      const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
      assert.ok(!/\b(?:Deno|Bun)\./.test(code), path);
    }
  });
});

describe("queue.md", () => {
  const page = read("docs/queue.md");

  it("says what to do about each code of the queue's own", () => {
    const codes = SOURCES.filter(({ path }) => path.startsWith(join("src", "queue")))
      .flatMap(({ text }) => [
        // `const POISON = "POISON"`, `const code = "QUEUE_MAX_AGE"`, `{ code: "FAULT", … }`
        ...text.matchAll(/\bconst [A-Z]+ = "([A-Z]+)";$/gm),
        ...text.matchAll(/\bcode(?::| =) "([A-Z_]+)"/g),
      ])
      .map(([, code]) => code!)
      // Of a message that is sent; and of a store that fails.
      .filter((code) => code !== "FOUND" && !code.startsWith("SQLITE_"));
    const unreadable = Object.values(UNREADABLE);
    const all = new Set([...codes, ...unreadable]);
    for (const code of ["POISON", "ORPHAN", "QUEUE_MAX_AGE", "FAULT"]) {
      assert.ok(all.has(code), code);
    }
    const missing = [...all].filter((code) => !new RegExp(`^\\|.*\`${code}\``, "m").test(page));
    assert.deepEqual(missing, []);
  });

  it("has every setting of the queue", () => {
    const names = Object.keys(SETTINGS).filter((name) => name.startsWith("QUEUE_"));
    assert.ok(names.length >= 9);
    for (const name of names) assert.ok(page.includes(`\`${name}`), name);
  });

  it("and operations.md have its metrics", () => {
    const gauges = [...read("src/relay/queue.ts").matchAll(/\bname: "(queue_[a-z_]+)"/g)]
      .map((match) => match[1]!);
    assert.ok(gauges.length >= 5);
    const operations = read("docs/operations.md");
    for (const name of gauges) assert.ok(operations.includes(`_${name}\``), name);
    for (const [, name] of page.matchAll(/`smtp_oauth_relay_(queue_[a-z_]+)`/g)) {
      assert.ok(gauges.includes(name!), name!);
    }
  });
});

describe("SECURITY.md", () => {
  const page = read("SECURITY.md");
  const paths = new Set(
    page.match(/`(?:src|tests|deploy)\/[\w./]+`/g)!.map((path) => path.slice(1, -1)),
  );

  it("names code and tests that exist", () => {
    assert.ok(paths.size > 50);
    assert.deepEqual([...paths].filter((path) => !existsSync(join(ROOT, path))), []);
  });
});
