// `check --service`: the settings of an installed service, from its unit. Under a real systemd it is run by
// tests/deploy/systemd_real.sh.

import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { PROGRAMS, run } from "./programs.ts";

/** The first port that needs no privilege (ip(7)). */
const FIRST = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
const root = process.getuid?.() === 0;

for (const program of PROGRAMS) {
  describe(`check --service on ${program.name}`, () => {
    let directory: string;
    let cloud: CloudServer;
    before(async () => {
      directory = mkdtempSync(join(tmpdir(), "relay-service-"));
      chmodSync(directory, 0o755);
      cloud = await startCloud({});
      const { certificate, privateKey } = await selfSignedCertificate();
      write("cert.pem", certificate);
      write("key.pem", privateKey, 0o600);
      write("password", "a password\n", 0o600);
      write(
        "environment",
        `LOG_LEVEL=INFO\nSERVER_HOSTNAME="localhost"\nAZURE_AUTHORITY_HOST=${cloud.authority.href}\n` +
          `GRAPH_ENDPOINT=${cloud.endpoint.href}\nSMTP_LISTEN=127.0.0.1:0\n`,
      );
    });
    after(async () => {
      await cloud.close();
      rmSync(directory, { recursive: true });
    });

    function write(name: string, text: string, mode = 0o644): void {
      writeFileSync(join(directory, name), text, { mode });
    }

    /** A unit next to the files, with these lines; `@` is their directory. */
    async function check(lines: readonly string[], args: readonly string[] = []) {
      const text = ["ExecStart=/bin/true serve", ...lines].join("\n");
      write("relay.service", `[Service]\n${text.replaceAll("@", directory)}\n`);
      const unit = join(directory, "relay.service");
      // Settings of this environment must not count.
      const running = run(program, ["check", "--service", unit, ...args], { LOG_LEVEL: "LOUD" });
      const status = await running.exited;
      const codes = [...running.stdout.matchAll(/^(\S+) .*\[([a-z-]+\.[a-z-]+)\]$/gm)]
        .filter(([, level]) => level !== "ok").map(([, , code]) => code!);
      return { status, codes, stdout: running.stdout, stderr: running.stderr };
    }

    const SOUND = [
      "DynamicUser=yes",
      "RuntimeDirectory=relay",
      "EnvironmentFile=@/environment",
      "LoadCredential=cert.pem:@/cert.pem",
      "LoadCredential=key.pem:@/key.pem",
      "LoadCredential=HTTP_PASSWORD:@/password",
      "Environment=TLS_CERT_FILEPATH=%d/cert.pem",
      "Environment=TLS_KEY_FILEPATH=%t/relay/key.pem",
      // Needs the password.
      "Environment=HTTP_LISTEN=0.0.0.0:0",
    ];
    const notRoot = root ? [] : ["service.not-root"];

    it("reads environment, files and credentials, and not its own environment", async () => {
      const { status, codes, stdout, stderr } = await check(SOUND);
      assert.deepEqual(codes, [...notRoot, "certificate.self-signed", "login.not-tried"], stdout);
      assert.deepEqual([status, stderr], [0, ""]);
      assert.match(
        stdout,
        /^ok {3}service: .*relay\.service: runs as a user of its own in \/; cred/,
      );
      assert.ok(stdout.includes(`TLS_CERT_FILEPATH "${directory}/cert.pem" is self-signed`));
      assert.ok(!stdout.includes("a password"));
    });

    it("applies drop-ins, which may unset values", async () => {
      mkdirSync(join(directory, "relay.service.d"));
      const dropIn = join("relay.service.d", "listen.conf");
      write(dropIn, "[Service]\nEnvironment=HTTP_LISTEN=here\n");
      const { codes, stdout } = await check(SOUND);
      assert.ok(codes.includes("settings.bad"), stdout);
      assert.match(stdout, /relay\.service, with .*listen\.conf: runs as/);
      rmSync(join(directory, "relay.service.d"), { recursive: true });
    });

    it("names what systemd fails on and what it ignores", async () => {
      write("exported", "export LOG_LEVEL=DEBUG\n");
      const { status, codes, stdout } = await check([
        ...SOUND,
        "EnvironmentFile=@/exported",
        "EnvironmentFile=@/none",
        "LoadCredential=AZURE_CLIENT_SECRET:@/none",
        "WorkingDirectory=@/none",
      ]);
      assert.equal(status, 1);
      assert.deepEqual(codes.filter((code) => code.startsWith("service.")), [
        ...notRoot,
        "service.fails",
        "service.ignored",
        "service.fails",
        "service.fails",
      ]);
      assert.match(stdout, /EnvironmentFile ".*none" does not exist/);
      assert.match(stdout, /LoadCredential AZURE_CLIENT_SECRET: ".*none" does not exist/);
      assert.match(stdout, /WorkingDirectory ".*none" cannot be entered/);
      assert.match(stdout, /exported line 1 is not NAME=value, so systemd ignores it/);
    });

    const first = existsSync(FIRST) ? Number(readFileSync(FIRST, "utf8")) : 1024;
    const skip = first <= 25 && "this machine's ports need no privilege";
    it(
      "tries ports as the service's user, who needs a capability below 1024",
      { skip },
      async () => {
        const low = [...SOUND, "Environment=SMTP_LISTEN=127.0.0.1:25", "EnvironmentFile="];
        const { codes, stdout } = await check(low);
        assert.ok(codes.includes("ports.privileged"), stdout);
        const { codes: free } = await check([...low, "AmbientCapabilities=CAP_NET_BIND_SERVICE"]);
        if (root) assert.ok(!free.includes("ports.privileged"));
      },
    );

    it("names a file that the service may not read, and one that the unit hides", async () => {
      const own = ["EnvironmentFile=@/environment", "Environment=TLS_CERT_FILEPATH=@/cert.pem"];
      const key = "Environment=TLS_KEY_FILEPATH=@/key.pem";
      if (root) {
        const { stdout } = await check([...own, key, "DynamicUser=yes", "PrivateTmp=no"]);
        // A service with its own user has its own /tmp, whatever else is set.
        assert.match(stdout, /FAIL service: TLS_KEY_FILEPATH .* the unit hides \/tmp from/);
        const other = await check([...own, key, "User=nobody"]);
        assert.match(other.stdout, /FAIL service: TLS_KEY_FILEPATH .* cannot be read by the serv/);
        assert.doesNotMatch(other.stdout, /FAIL service: TLS_CERT/);
      }
      const { stdout } = await check([...own, "ProtectHome=yes", "User=nobody"]);
      assert.doesNotMatch(stdout, /FAIL service: TLS_CERT/);
      const { stdout: hidden } = await check([
        ...own,
        "Environment=TLS_KEY_FILEPATH=/root/key.pem",
        "ProtectHome=yes",
      ]);
      assert.match(
        hidden,
        /FAIL service: TLS_KEY_FILEPATH "\/root\/key\.pem": the unit hides \/root/,
      );
    });

    it("reports a missing unit, and refuses --env-file together with it", async () => {
      const missing = run(program, ["check", "--service", "no-such-unit"]);
      assert.equal(await missing.exited, 1);
      assert.match(missing.stdout, /FAIL service: there is no unit "no-such-unit\.service"/);
      const { status, stderr } = await check(SOUND, ["--env-file", "x"]);
      assert.equal(status, 2);
      assert.match(stderr, /--service reads what its unit names: leave --env-file out/);
    });
  });
}
