// What a service is started with, by its unit, drop-ins and files (systemd.unit(5), systemd.exec(5)).

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { credentialAt, serviceOf, variablesIn } from "../../src/systemd/service.ts";
import { type Files, isEnabled, readUnit, wordsOf } from "../../src/systemd/unit_file.ts";
import { SERVICE } from "../../src/systemd/units.ts";

const NAME = "smtp-oauth-relay.service";
const ETC = "/etc/systemd/system";

/** A machine with these files alone. */
function machine(files: Readonly<Record<string, string>>): Files {
  return {
    read: (path) => files[path],
    list: (directory) => [
      ...new Set(
        Object.keys(files).filter((path) => path.startsWith(`${directory}/`))
          .map((path) => path.slice(directory.length + 1).split("/")[0]!),
      ),
    ],
  };
}

function serviceIn(files: Readonly<Record<string, string>>) {
  const there = machine(files);
  return serviceOf(readUnit(NAME, there)!, there);
}

const section = (...lines: readonly string[]) => `[Service]\n${lines.join("\n")}\n`;

describe("a unit", () => {
  it("is the first of its name, /etc before /usr/lib", () => {
    const unit = readUnit(
      NAME,
      machine({
        [`/usr/lib/systemd/system/${NAME}`]: section("User=packaged"),
        [`${ETC}/${NAME}`]: section("User=own"),
      }),
    )!;
    assert.deepEqual(unit.paths, [`${ETC}/${NAME}`]);
    assert.equal(unit.last("Service", "User"), "own");
    assert.equal(readUnit(NAME, machine({})), undefined);
  });

  it("has the drop-ins of its name, its prefixes and its type, in the order of their names", () => {
    const unit = readUnit(
      NAME,
      machine({
        [`${ETC}/${NAME}`]: section("Environment=A=0"),
        [`${ETC}/${NAME}.d/90-last.conf`]: section("Environment=A=3"),
        [`/run/systemd/system/${NAME}.d/50-run.conf`]: section("Environment=A=2"),
        [`${ETC}/smtp-.service.d/10-prefix.conf`]: section("Environment=A=1"),
        // Hidden by the unit's own one of the same name.
        [`${ETC}/service.d/90-last.conf`]: section("Environment=A=9"),
        [`${ETC}/${NAME}.d/readme.txt`]: section("Environment=A=8"),
      }),
    )!;
    assert.deepEqual(unit.paths.slice(1), [
      `${ETC}/smtp-.service.d/10-prefix.conf`,
      `/run/systemd/system/${NAME}.d/50-run.conf`,
      `${ETC}/${NAME}.d/90-last.conf`,
    ]);
    assert.deepEqual(unit.all("Service", "Environment"), ["A=0", "A=1", "A=2", "A=3"]);
  });

  it("may be a file anywhere, with its drop-ins next to it", () => {
    const unit = readUnit(
      "/tmp/x/relay.service",
      machine({
        "/tmp/x/relay.service": section("User=a"),
        "/tmp/x/relay.service.d/b.conf": section("User=b"),
      }),
    )!;
    assert.deepEqual([unit.name, unit.last("Service", "User")], ["relay.service", "b"]);
  });

  it("unsets values by an empty one, continues after a backslash, and ignores comments", () => {
    const unit = readUnit(
      NAME,
      machine({
        [`${ETC}/${NAME}`]: section(
          "Environment=A=1",
          "Environment=",
          "# Environment=B=1",
          "Environment=C=1 \\",
          "; a comment in between",
          "  D=1",
        ),
      }),
    )!;
    assert.deepEqual(unit.all("Service", "Environment"), ["C=1    D=1"]);
  });

  it("is enabled if another one wants it", () => {
    const there = machine({ [`${ETC}/sockets.target.wants/a.socket`]: "" });
    assert.equal(isEnabled("a.socket", there), true);
    assert.equal(isEnabled("b.socket", there), false);
  });
});

describe("words", () => {
  it("are split at spaces, but not in quotes, which may be anywhere (systemd.syntax(7))", () => {
    assert.deepEqual(wordsOf(`A=1 "B=two words" C='it''s' D=a\\ b E="x\\"y"`), [
      "A=1",
      "B=two words",
      "C=its",
      "D=a b",
      'E=x"y',
    ]);
  });
});

describe("the environment of a service", () => {
  it("is that of Environment=, under that of EnvironmentFile=, without what is unset", () => {
    const { environment, absent, ignored } = serviceIn({
      [`${ETC}/${NAME}`]: section(
        'Environment="SMTP_LISTEN=:25,:587" LOG_LEVEL=INFO GONE=1 nonsense',
        "EnvironmentFile=-/etc/relay/environment",
        "EnvironmentFile=-/etc/relay/none",
        "EnvironmentFile=/etc/relay/needed",
        "UnsetEnvironment=GONE",
      ),
      "/etc/relay/environment": "LOG_LEVEL=DEBUG\nexport SERVER_HOSTNAME=a\n",
    });
    assert.deepEqual(environment, { SMTP_LISTEN: ":25,:587", LOG_LEVEL: "DEBUG" });
    assert.deepEqual(absent, ['EnvironmentFile "/etc/relay/needed"']);
    assert.deepEqual(ignored, [
      'Environment= has no NAME=value in "nonsense"',
      "/etc/relay/environment line 2 is not NAME=value, so systemd ignores it",
    ]);
  });

  it("is read from a file as systemd reads it: quotes, comments, continued lines", () => {
    const text = [
      "# a comment = none",
      "A=plain value  ",
      'B="two  words # no comment"',
      "C='single \\n'",
      'D="a\\"b\\$c\\d"',
      "E=one\\",
      "two",
      "F=a#b",
      "G=",
      "; another",
      "  H = spaced",
      "no assignment",
      'I="over',
      'two lines"',
    ].join("\n");
    assert.deepEqual(variablesIn(text).map(({ name, value }) => [name, value]), [
      ["A", "plain value"],
      ["B", "two  words # no comment"],
      ["C", "single \\n"],
      ["D", 'a"b$c\\d'],
      ["E", "onetwo"],
      ["F", "a#b"],
      ["G", ""],
      ["H", "spaced"],
      ["", "no assignment"],
      ["I", "over\ntwo lines"],
    ]);
    assert.deepEqual(variablesIn("A=1\n\nB\n").map(({ line }) => line), [1, 3]);
  });
});

describe("the credentials of a service", () => {
  it("are files, or their placeholders, by the names of the settings", () => {
    const { credentials } = serviceIn({
      [`${ETC}/${NAME}`]: section(
        "LoadCredential=HTTP_PASSWORD:/etc/relay/password",
        "LoadCredential=stored",
        "LoadCredential=absent:/etc/relay/absent",
        "LoadCredential=cert.pem:/etc/relay/cert.pem",
        "SetCredential=cert.pem:missing",
        "SetCredential=default:a\\x20text",
        "LoadCredential=default:/etc/relay/none",
        "LoadCredentialEncrypted=sealed:/etc/relay/sealed",
      ),
      "/etc/relay/password": "p",
      "/run/credstore/stored": "s",
      "/etc/relay/sealed": "x",
    });
    assert.deepEqual(Object.fromEntries(credentials), {
      HTTP_PASSWORD: { type: "file", path: "/etc/relay/password" },
      stored: { type: "file", path: "/run/credstore/stored" },
      absent: { type: "missing", path: "/etc/relay/absent" },
      // The placeholder exists so that the service starts; the file is missing.
      "cert.pem": { type: "file", path: "/etc/relay/cert.pem" },
      default: { type: "text", text: "a text" },
      sealed: { type: "sealed", path: "/etc/relay/sealed" },
    });
  });
});

describe("the unit that install-service installs", () => {
  const service = serviceIn({
    [`${ETC}/${NAME}`]: SERVICE.text,
    "/etc/smtp-oauth-relay/environment": "LOG_LEVEL=INFO\n",
  });

  it("is read whole: environment, credentials, user, directories", () => {
    const { environment } = service;
    assert.equal(environment["LOG_LEVEL"], "INFO");
    for (const [name, id] of [["TLS_CERT_FILEPATH", "cert.pem"], ["TLS_KEY_FILEPATH", "key.pem"]]) {
      assert.equal(credentialAt(environment[name!]!, service), id);
      assert.deepEqual(service.credentials.get(id!), {
        type: "file",
        path: `/etc/smtp-oauth-relay/${id}`,
      });
    }
    assert.equal(
      credentialAt("/run/credentials/smtp-oauth-relay.service/key.pem", service),
      "key.pem",
    );
    assert.equal(credentialAt("/srv/key.pem", service), undefined);
    assert.deepEqual(
      [service.user, service.privileged, service.workingDirectory, service.absent, service.ignored],
      [undefined, false, "/var/lib/smtp-oauth-relay", [], []],
    );
    // So that a relative path of the queue is where the service may write.
    assert.deepEqual(service.stateDirectories, [service.workingDirectory]);
    assert.deepEqual(service.command, ["/usr/local/bin/smtp-oauth-relay", "serve"]);
    assert.ok(service.hidden.includes("/home") && service.hidden.includes("/tmp"));
  });
});
