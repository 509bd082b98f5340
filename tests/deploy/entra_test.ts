/**
 * The set-up scripts of deploy/entra. The one for the Azure CLI runs here against a stand-in for
 * `az` that knows its calls to the letter; what Entra ID makes of them is not shown. The one for
 * PowerShell cannot be run here: only its text is examined.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { createPrivateKey, randomUUID, X509Certificate } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { makeUsername } from "../../src/commands/username.ts";
import { absent } from "../support/tools.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SETUP = join(ROOT, "deploy/entra/setup.sh");
const SECRET = "abC8Q~the.secret-of_the~app";
const MAIL_SEND = "b633e1c5-b582-4048-a93e-9f11b44c7e96";
const MAIL_READWRITE = "e2a3a72e-5f79-4c64-b1b1-878b674786c9";
const GIVEN = ["--mailbox", "scanner@example.com"];
/** What changes something in the tenant. */
const WRITES = / (?:create|add|reset|delete|update) |--method post/;

describe("deploy/entra/setup.sh", () => {
  const folders: string[] = [];
  let state: string;
  let home: string;
  let binaries: string;
  let tenant: string;
  let app: string;

  beforeEach(() => {
    const folder = mkdtempSync(join(tmpdir(), "relay-entra-"));
    folders.push(folder);
    [state, home, binaries] = ["state", "home", "bin"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [state, home, binaries]) mkdirSync(path);
    copyFileSync(join(ROOT, "tests/support/azure_cli.bash"), join(binaries, "az"));
    chmodSync(join(binaries, "az"), 0o755);
    for (
      const file of [
        ...["apps", "principals", "granted", "requested", "secrets", "calls"],
        ...["certificates", "identities", "federated", "parameters"],
      ]
    ) tenantHas(file, "");
    tenant = randomUUID();
    app = randomUUID();
    tenantHas("tenant", `${tenant}\n`);
    tenantHas("cloud", "AzureCloud\n");
    tenantHas("next_app_id", `${app}\n`);
    tenantHas("next_secret", `${SECRET}\n`);
  });
  after(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

  function tenantHas(file: string, text: string): void {
    writeFileSync(join(state, file), text);
  }
  const lines = (file: string) =>
    readFileSync(join(state, file), "utf8").split("\n").filter((line) => line !== "");

  function setup(...args: string[]) {
    tenantHas("calls", "");
    const { status, stdout, stderr } = spawnSync("bash", [SETUP, ...args], {
      encoding: "utf8",
      cwd: home,
      timeout: 60_000,
      env: {
        PATH: `${binaries}:${process.env["PATH"]}`,
        HOME: home,
        TMPDIR: home,
        LC_ALL: "C",
        AZ_STATE: state,
        SETUP_RETRY_SECONDS: "0",
      },
    });
    return { status, stdout, stderr, writes: lines("calls").filter((call) => WRITES.test(call)) };
  }

  /** The value of a line such as `Client id    …`. */
  function field(stdout: string, name: string): string | undefined {
    return new RegExp(`^ *${name} +(.*)$`, "m").exec(stdout)?.[1];
  }

  it("registers an app and prints what the device and Exchange need", () => {
    const { status, stdout, stderr, writes } = setup(
      ...GIVEN,
      "--mailbox",
      "a.b+c@sub.example.com",
    );
    assert.equal(status, 0, stderr);
    assert.equal(writes.length, 3, String(writes));
    assert.deepEqual(lines("apps"), [`${app}\tAzureADMyOrg\tSMTP relay`]);
    assert.equal(field(stdout, "Password"), SECRET);
    const [object] = lines("principals");
    assert.equal(field(stdout, "Object id"), object);
    for (
      const command of [
        "Connect-ExchangeOnline",
        `New-ServicePrincipal -AppId ${app} -ObjectId ${object} -DisplayName 'SMTP relay'`,
        "Add-DistributionGroupMember -Identity 'SMTP relay' -Member 'scanner@example.com'",
        "Add-DistributionGroupMember -Identity 'SMTP relay' -Member 'a.b+c@sub.example.com'",
        `New-ManagementScope -Name 'SMTP relay' -RecipientRestrictionFilter "MemberOfGroup -eq '$group'"`,
        `New-ManagementRoleAssignment -Name 'SMTP relay Mail.Send' -App ${object} ` +
        "-Role 'Application Mail.Send' -CustomResourceScope 'SMTP relay'",
        `Test-ServicePrincipalAuthorization -Identity ${object} -Resource 'scanner@example.com' | Format-Table`,
      ]
    ) assert.ok(stdout.split("\n").includes(command), `${command}\n${stdout}`);
    assert.doesNotMatch(stdout, /ReadWrite/);
    assert.deepEqual(lines("granted"), []);
  });

  it("prints the usernames of `smtp-oauth-relay username`", () => {
    const ids = [
      ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
      ["12345678-1234-1234-1234-123456789abc", "0a0d2522-275c-7c60-2400-fbefbefbefff"],
      [tenant, app],
    ] as const;
    for (const [tenantId, clientId] of ids) {
      tenantHas("tenant", `${tenantId.toUpperCase()}\n`);
      tenantHas("next_app_id", `${clientId}\n`);
      for (const file of ["apps", "principals"]) tenantHas(file, "");
      const { stdout, stderr } = setup(...GIVEN, "--delimiter", "@");
      const { long, short } = makeUsername(tenantId, clientId, undefined);
      assert.equal(field(stdout, "Username"), long, stderr);
      assert.equal(field(stdout, "or short"), short);
    }
    assert.match(setup(...GIVEN, "--delimiter", "|").stdout, /^Username +[0-9a-f-]{36}\|/m);
  });

  it("changes nothing when it is run again", () => {
    const first = setup(...GIVEN);
    const second = setup(...GIVEN);
    assert.equal(second.status, 0, second.stderr);
    assert.deepEqual(second.writes, []);
    for (const name of ["Username", "or short", "Object id"]) {
      assert.equal(field(second.stdout, name), field(first.stdout, name));
    }
    assert.match(field(second.stdout, "Password") ?? "", /^as before, good until 20\d\d-.*Z /);
  });

  it("adds a second secret when asked, or when the first has ended, and keeps the others", () => {
    setup(...GIVEN);
    const again = setup(...GIVEN, "--new-secret", "--secret-days", "30");
    assert.equal(field(again.stdout, "Password"), SECRET);
    assert.equal(again.writes.length, 1);
    const days = lines("secrets").map((end) =>
      Math.round((Date.parse(end) - Date.now()) / 86_400_000)
    );
    assert.deepEqual(days, [365, 30]);
    tenantHas("secrets", "2020-01-01T00:00:00Z\n");
    assert.equal(field(setup(...GIVEN).stdout, "Password"), SECRET);
  });

  it("adds Mail.ReadWrite to the commands when large messages are wanted", () => {
    const { stdout } = setup(...GIVEN, "--large-messages", "--name", "Scanners_2.OG");
    assert.match(
      stdout,
      /^New-ManagementRoleAssignment -Name 'Scanners_2.OG Mail.ReadWrite' .* -Role 'Application Mail.ReadWrite' -CustomResourceScope 'Scanners_2.OG'$/m,
    );
  });

  it("grants Mail.Send for all mailboxes only on request, each permission once", () => {
    const first = setup("--all-mailboxes");
    assert.equal(first.status, 0, first.stderr);
    assert.deepEqual([lines("granted"), lines("requested")], [[MAIL_SEND], [MAIL_SEND]]);
    assert.doesNotMatch(first.stdout, /Exchange/);
    const second = setup("--all-mailboxes", "--large-messages");
    assert.equal(second.status, 0, second.stderr);
    const both = [MAIL_SEND, MAIL_READWRITE];
    assert.deepEqual([lines("granted"), lines("requested")], [both, both]);
    assert.deepEqual(setup("--all-mailboxes", "--large-messages").writes, []);
    assert.match(setup(...GIVEN).stderr, /WARNING: .* ALL mailboxes/);
  });

  it("makes no secret when a step before it fails", () => {
    tenantHas("forbidden", "yes");
    const { status, stdout, stderr } = setup("--all-mailboxes");
    assert.equal(status, 1);
    assert.match(stderr, /Insufficient privileges.*\nsetup.sh: az rest --method post failed\n$/);
    assert.equal(stdout, "");
    assert.deepEqual(lines("secrets"), []);
  });

  it("asks again while a new app is not known everywhere", () => {
    tenantHas("not_known_yet", "yes");
    const { status, stdout } = setup(...GIVEN);
    assert.equal(status, 0);
    assert.equal(field(stdout, "Object id"), lines("principals")[0]);
  });

  it("prints in a dry run what it would do, and does nothing", () => {
    for (const flag of ["--dry-run", "--what-if"]) {
      const fresh = setup("--all-mailboxes", "--large-messages", flag);
      assert.equal(fresh.status, 0, fresh.stderr);
      assert.deepEqual(fresh.writes, []);
      assert.deepEqual(fresh.stderr.trim().split("\n"), [
        "would register the app 'SMTP relay', for this tenant only",
        "would create its service principal",
        "would grant Mail.Send for ALL mailboxes of the tenant",
        "would grant Mail.ReadWrite for ALL mailboxes of the tenant",
        "would add a client secret, good for 365 days",
      ]);
    }
    assert.match(setup(...GIVEN, "--dry-run").stdout, /New-ServicePrincipal -AppId CLIENT_ID/);
    setup(...GIVEN);
    const there = setup(...GIVEN, "--dry-run");
    assert.deepEqual(there.writes, []);
    assert.doesNotMatch(there.stderr, /would/);
  });

  it("writes the secret to no file and passes it to no program", () => {
    const { stdout, stderr } = setup(...GIVEN);
    assert.equal(stdout.split(SECRET).length, 2);
    assert.ok(!stderr.includes(SECRET));
    assert.ok(!lines("calls").join().includes(SECRET));
    assert.deepEqual(readdirSync(home), []);
  });

  it("uses an existing app by its id, and warns of one that other tenants can use", () => {
    tenantHas("apps", `${app}\tAzureADMultipleOrgs\tAnother name\n`);
    const { status, stdout, stderr } = setup(...GIVEN, "--client-id", app);
    assert.equal(status, 0, stderr);
    assert.equal(field(stdout, "Client id"), app);
    assert.match(stderr, /WARNING: it can be used from other tenants/);
    assert.equal(lines("apps").length, 1);
  });

  // The stand-in for `az` reads JSON by Python here.
  describe("without a secret", { skip: absent("openssl", "python3") }, () => {
    const IDENTITY = "0a1b2c3d-0000-4000-8000-000000000001";
    const PRINCIPAL = "0a1b2c3d-0000-4000-8000-000000000002";
    const RESOURCE = "/subscriptions/s/resourcegroups/g/providers/Microsoft.ManagedIdentity";

    const made = () => ["--make-certificate", join(home, "keys")];
    const inKeys = (name: string) => join(home, "keys", name);

    it("makes a certificate, registers it, and prints settings and the device's entry", () => {
      const { status, stdout, stderr } = setup(...GIVEN, ...made());
      assert.equal(status, 0, stderr);
      const certificate = new X509Certificate(readFileSync(inKeys("client-cert.pem")));
      assert.ok(
        certificate.checkPrivateKey(createPrivateKey(readFileSync(inKeys("client-key.pem")))),
      );
      assert.equal(statSync(inKeys("client-key.pem")).mode & 0o777, 0o600);
      const thumbprint = certificate.fingerprint.replaceAll(":", "");
      assert.deepEqual(lines("certificates"), [thumbprint]);
      assert.deepEqual(lines("secrets"), []);
      assert.equal(field(stdout, "Thumbprint"), thumbprint);
      assert.equal(field(stdout, "SHA-256"), certificate.fingerprint256.replaceAll(":", ""));
      assert.doesNotMatch(stdout, /^(?:Password|Username) /m);
      for (
        const line of [
          `CLIENT_CERTIFICATE_FILEPATH=${inKeys("client-cert.pem")}`,
          `CLIENT_KEY_FILEPATH=${inKeys("client-key.pem")}`,
          "LOOKUP_FILE=/var/lib/smtp-oauth-relay/lookup.json",
          `smtp-oauth-relay lookup set scanner tenant_id=${tenant} client_id=${app} ` +
          "from_email=scanner@example.com credential=certificate",
          "smtp-oauth-relay lookup set-password scanner",
          `New-ManagementRoleAssignment -Name 'SMTP relay Mail.Send' -App ${
            lines("principals")[0]
          } ` +
          "-Role 'Application Mail.Send' -CustomResourceScope 'SMTP relay'",
        ]
      ) assert.ok(stdout.split("\n").includes(line), `${line}\n${stdout}`);
    });

    it("gives the key to no program but openssl, and changes nothing when it is run again", () => {
      setup(...GIVEN, ...made());
      const key = readFileSync(inKeys("client-key.pem"), "utf8");
      assert.ok(!lines("calls").join().includes(key.split("\n")[1]!));
      const again = setup(...GIVEN, ...made());
      assert.equal(again.status, 0, again.stderr);
      assert.deepEqual(again.writes, []);
      assert.equal(readFileSync(inKeys("client-key.pem"), "utf8"), key);
      assert.match(again.stderr, /The certificate is registered: thumbprint [0-9A-F]{40}\n/);
    });

    // Graph's form of customKeyIdentifier is not documented.
    it("knows a registered certificate by its thumbprint in base64, too", () => {
      setup(...GIVEN, ...made());
      const [thumbprint] = lines("certificates");
      tenantHas("certificates", Buffer.from(thumbprint!, "hex").toString("base64") + "\n");
      assert.deepEqual(setup(...GIVEN, ...made()).writes, []);
    });

    it("adds a second certificate for a renewal, without its key", () => {
      setup(...GIVEN, ...made());
      const renewed = join(home, "renewed.pem");
      assert.equal(
        spawnSync("openssl", [
          ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=new"],
          ...["-keyout", renewed + ".key", "-out", renewed],
        ]).status,
        0,
      );
      // A file with both, as programs like to have them.
      writeFileSync(
        renewed,
        readFileSync(renewed + ".key", "utf8") + readFileSync(renewed, "utf8"),
      );
      const { status, stdout, stderr } = setup(...GIVEN, "--certificate", renewed);
      assert.equal(status, 0, stderr);
      assert.equal(lines("certificates").length, 2);
      assert.match(stdout, new RegExp(`^CLIENT_CERTIFICATE_FILEPATH=${renewed}$`, "m"));
    });

    it("lets the app trust a managed identity, by its name or its client id", () => {
      const row = [
        PRINCIPAL,
        IDENTITY,
        "relay-id",
        `isExplicit=True ${RESOURCE}/userAssignedIdentities/relay-id`,
      ];
      tenantHas("identities", row.join("\t") + "\n");
      const { status, stdout, stderr } = setup(...GIVEN, "--managed-identity", "relay-id");
      assert.equal(status, 0, stderr);
      assert.deepEqual(lines("parameters").map((line) => JSON.parse(line)), [{
        name: "smtp-oauth-relay-1",
        issuer: `https://login.microsoftonline.com/${tenant}/v2.0`,
        subject: PRINCIPAL,
        audiences: ["api://AzureADTokenExchange"],
      }]);
      assert.deepEqual([lines("secrets"), lines("certificates")], [[], []]);
      assert.match(stdout, new RegExp(`^MANAGED_IDENTITY_CLIENT_ID=${IDENTITY}$`, "m"));
      assert.match(stdout, / credential=managed-identity$/m);
      assert.deepEqual(setup(...GIVEN, "--managed-identity", IDENTITY).writes, []);
    });

    const clouds = [
      ["AzureUSGovernment", "https://login.microsoftonline.us", "api://AzureADTokenExchangeUSGov"],
      [
        "AzureChinaCloud",
        "https://login.partner.microsoftonline.cn",
        "api://AzureADTokenExchangeChina",
      ],
    ] as const;
    for (const [cloud, host, audience] of clouds) {
      it(`uses issuer and audience of ${cloud}`, () => {
        tenantHas("cloud", `${cloud}\n`);
        const row = [
          PRINCIPAL,
          IDENTITY,
          "relay-id",
          `${RESOURCE}/userAssignedIdentities/relay-id`,
        ];
        tenantHas("identities", row.join("\t") + "\n");
        setup(...GIVEN, "--managed-identity", "relay-id");
        const [given] = lines("parameters").map((line) => JSON.parse(line));
        assert.deepEqual([given.issuer, given.audiences], [`${host}/${tenant}/v2.0`, [audience]]);
      });
    }

    it("refuses an identity that Entra ID does not accept, or that is not there", () => {
      const row = [
        PRINCIPAL,
        IDENTITY,
        "vm",
        "isExplicit=False /subscriptions/s/virtualMachines/vm",
      ];
      tenantHas("identities", row.join("\t") + "\n");
      const system = setup(...GIVEN, "--managed-identity", "vm");
      assert.equal(system.status, 1);
      assert.match(system.stderr, /'vm' is the system-assigned identity of a resource/);
      const none = setup(...GIVEN, "--managed-identity", "other");
      assert.match(none.stderr, /has no managed identity 'other'\n$/);
      assert.deepEqual(lines("parameters"), []);
    });

    it("lets the app trust a Kubernetes service account, besides what it trusts", () => {
      tenantHas("federated", "https://another.example/\tanother\n");
      const given = [
        ...["--federated-issuer", "https://oidc.example.com/1234/"],
        ...["--federated-subject", "system:serviceaccount:smtp-relay:smtp-oauth-relay"],
      ];
      const { status, stdout, stderr } = setup("--all-mailboxes", ...given);
      assert.equal(status, 0, stderr);
      assert.deepEqual(JSON.parse(lines("parameters")[0]!), {
        name: "smtp-oauth-relay-2",
        issuer: given[1],
        subject: given[3],
        audiences: ["api://AzureADTokenExchange"],
      });
      assert.match(stdout, / credential=workload-identity$/m);
      assert.deepEqual(setup("--all-mailboxes", ...given).writes, []);
    });

    it("keeps the secrets that are there, and says so", () => {
      setup(...GIVEN);
      const { stdout, stderr } = setup(...GIVEN, ...made());
      assert.match(stderr, /still has 1 client secret/);
      assert.doesNotMatch(stdout, /^Password /m);
      assert.equal(lines("secrets").length, 1);
    });

    it("names the way without a secret when a tenant forbids secrets", () => {
      tenantHas("no_secrets", "yes");
      const { status, stdout, stderr } = setup(...GIVEN);
      assert.equal(status, 1);
      assert.match(
        stderr,
        /not allowed as per assigned policy\nsetup\.sh: .* use --make-certificate\n$/,
      );
      assert.equal(stdout, "");
      assert.equal(setup(...GIVEN, ...made()).status, 0);
    });

    it("makes nothing in a dry run", () => {
      const { status, stderr, writes } = setup(...GIVEN, ...made(), "--dry-run");
      assert.equal(status, 0, stderr);
      assert.deepEqual([writes, readdirSync(home)], [[], []]);
      assert.match(stderr, /would make a key and a certificate, good for 365 days, in /);
    });
  });

  it("names the environment of a national cloud", () => {
    tenantHas("cloud", "AzureChinaCloud\n");
    const { stdout, stderr } = setup(...GIVEN);
    assert.match(stdout, /^Connect-ExchangeOnline -ExchangeEnvironmentName O365China$/m);
    assert.match(stderr, /AZURE_CLOUD=china/);
  });

  const failures: readonly (readonly [name: string, prepare: () => void, RegExp, ...string[]])[] = [
    ["nobody is signed in", () => tenantHas("tenant", ""), /not signed in: az login/],
    ["another tenant is", () => {}, /signed in to the tenant/, "--tenant", randomUUID()],
    [
      "the app is not there",
      () => {},
      /has no app with the client id/,
      "--client-id",
      randomUUID(),
    ],
    [
      "two apps have the name",
      () => tenantHas("apps", "a\tAzureADMyOrg\tSMTP relay\nb\tAzureADMyOrg\tSMTP relay\n"),
      /several apps .* --client-id/,
    ],
  ];
  for (const [name, prepare, line, ...args] of failures) {
    it(`stops, and changes nothing, when ${name}`, () => {
      prepare();
      const { status, stdout, stderr, writes } = setup(...GIVEN, ...args);
      assert.equal(status, 1);
      assert.match(stderr, line);
      assert.equal(stdout, "");
      assert.deepEqual(writes, []);
    });
  }

  const refused: readonly (readonly [line: RegExp, ...args: string[]])[] = [
    [/say which mailboxes/],
    [/exclude each other/, ...GIVEN, "--all-mailboxes"],
    [/--mailbox needs a value/, "--mailbox"],
    [/--mailbox 'scanner' must be an address/, "--mailbox", "scanner"],
    [/must be an address/, "--mailbox", "o'neil@example.com"],
    [/must be an address/, "--mailbox", "a@example.com b@example.com"],
    [/must be an address/, "--mailbox", "a@example.com\nRemove-Mailbox b"],
    [/--name .* must be/, ...GIVEN, "--name", "it's"],
    [/--name .* must be/, ...GIVEN, "--name", "x$(id)"],
    [/--name .* must be/, ...GIVEN, "--name", "x".repeat(49)],
    [/--client-id 'SMTP' must be a UUID/, ...GIVEN, "--client-id", "SMTP"],
    [/--tenant 'example.com' must be a UUID/, ...GIVEN, "--tenant", "example.com"],
    [/--secret-days '0' must be/, ...GIVEN, "--secret-days", "0"],
    [/--secret-days '731' must be/, ...GIVEN, "--secret-days", "731"],
    [/--secret-days '1y' must be/, ...GIVEN, "--secret-days", "1y"],
    [/--delimiter '#' must be/, ...GIVEN, "--delimiter", "#"],
    [/--certificate 'nowhere.pem' must be a file/, ...GIVEN, "--certificate", "nowhere.pem"],
    [/--certificate-days '1096' must be/, ...GIVEN, "--certificate-days", "1096"],
    [/exclude each other/, ...GIVEN, "--make-certificate", "x", "--managed-identity", "y"],
    [/--managed-identity .* must be/, ...GIVEN, "--managed-identity", "it's"],
    [/--federated-issuer 'http:.*' must be/, ...GIVEN, "--federated-issuer", "http://x"],
    [/--federated-subject '' must be/, ...GIVEN, "--federated-issuer", "https://x"],
    [
      /--federated-subject .* must be/,
      ...GIVEN,
      "--federated-issuer",
      "https://x",
      "--federated-subject",
      'a"b',
    ],
    [/unknown option '--mailboxes'/, "--mailboxes", "a@example.com"],
  ];
  for (const [line, ...args] of refused) {
    // A file is read before it is refused.
    const skip = args.includes("--certificate") && absent("openssl");
    it(`refuses ${JSON.stringify(args)} before any request`, { skip }, () => {
      const { status, stderr } = setup(...args);
      assert.equal(status, 2);
      assert.match(stderr, /^setup\.sh: .*\(--help shows the options\)\n$/);
      assert.match(stderr, line);
      assert.deepEqual(lines("calls"), []);
    });
  }

  it("explains every option with --help", () => {
    const { status, stdout } = setup("--help");
    assert.equal(status, 0);
    const options = readFileSync(SETUP, "utf8").matchAll(/^ {4}(--[a-z-]+)(?: \| --[a-z-]+)?\) /gm);
    for (const [, option] of options) assert.match(stdout, new RegExp(`^  ${option}\\b`, "m"));
  });
});

describe("deploy/entra/setup.ps1, as a text", () => {
  const script = readFileSync(join(ROOT, "deploy/entra/setup.ps1"), "utf8");

  it("has the ids and names that the other script has", () => {
    for (
      const text of [
        MAIL_SEND,
        MAIL_READWRITE,
        "00000003-0000-0000-c000-000000000000",
        "AzureADMyOrg",
        "smtp-oauth-relay",
        "MemberOfGroup -eq '$dn'",
        "[string] $Name = 'SMTP relay'",
        "api://AzureADTokenExchangeUSGov",
        "api://AzureADTokenExchangeChina",
        "https://login.microsoftonline.us",
        "https://login.partner.microsoftonline.cn",
        "lookup set $id tenant_id=$tenant client_id=$appId from_email=$Address credential=$credential",
        "lookup set-password $id",
      ]
    ) assert.ok(script.includes(text), text);
  });

  it("makes the short form of the hexadecimal digits, not of .NET's order of octets", () => {
    assert.match(script, /\[Convert\]::ToByte\(\$hex\.Substring\(2 \* \$_, 2\), 16\)/);
    assert.doesNotMatch(script.replace(/^#.*$/gm, ""), /ToByteArray/);
  });

  it("explains every parameter", () => {
    const [, parameters = ""] = /\nparam\(\n([\s\S]*?)\n\)\n/.exec(script) ?? [];
    const names = [...parameters.matchAll(/^ {2}\[[a-z\[\]]+\] \$(\w+)/gm)].map(([, name]) => name);
    assert.equal(names.length, 16);
    for (const name of names) assert.match(script, new RegExp(`^\\.PARAMETER ${name}$`, "m"));
  });

  // A variable keeps the validation of the parameter of its name: an empty value would throw.
  it("assigns to no parameter that is validated", () => {
    assert.doesNotMatch(
      script,
      /^\s*\$(?:Mailbox|Name|ClientId|TenantId|SecretDays|CertificateDays|ManagedIdentity|Federated\w+) =/im,
    );
  });
});

it("both scripts and the page say that they have not been run against a tenant", () => {
  for (const path of ["deploy/entra/setup.sh", "deploy/entra/setup.ps1", "docs/entra.md"]) {
    assert.ok(existsSync(join(ROOT, path)));
    const text = readFileSync(join(ROOT, path), "utf8").replace(/\s+(?:# )?/g, " ");
    assert.match(text, /written from Microsoft's public documentation/i, path);
    assert.match(text, /not been run|never against a tenant/, path);
  }
});
