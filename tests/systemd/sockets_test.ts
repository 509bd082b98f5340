// sd_listen_fds(3): which sockets are the relay's, and what each is for.

import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import type { SocketFacts } from "../../src/runtime/libc.ts";
import { takeSockets } from "../../src/systemd/sockets.ts";
import { handedOver } from "../support/handed_over.ts";

const PID = 4711;
const listening: SocketFacts = { type: "listening", hostname: "::", port: 25 };

/** Receives sockets on a system where all of them are as given. */
async function take(
  variables: Record<string, string>,
  facts: Record<number, SocketFacts> = {},
) {
  const environment: Record<string, string | undefined> = { OTHER: "stays", ...variables };
  const kept: number[] = [];
  const taken = await takeSockets(environment, PID, () =>
    Promise.resolve({
      describe: (descriptor) => facts[descriptor] ?? listening,
      closeOnExec: (descriptor) => void kept.push(descriptor),
    }));
  assert.deepEqual(Object.keys(environment), ["OTHER"], "the variables are gone");
  const byName = taken.type === "problems" ? undefined : Object.fromEntries(
    Object.entries(taken.sockets).map(([name, all]) => [name, all.map((one) => one.descriptor)]),
  );
  return { problems: taken.type === "problems" ? taken.problems : [], byName, kept };
}

const FOR_US = { LISTEN_PID: String(PID) };
const NONE = { smtp: [], smtps: [], http: [] };

describe("passed sockets", () => {
  it("are sorted by their names, several of one name too", async () => {
    const { byName, kept } = await take({
      ...FOR_US,
      LISTEN_FDS: "5",
      LISTEN_FDNAMES: "http:smtp:smtps:smtp:smtps",
    });
    assert.deepEqual(byName, { smtp: [4, 6], smtps: [5, 7], http: [3] });
    assert.deepEqual(kept, [3, 4, 5, 6, 7], "no child inherits them");
  });

  it("are for SMTP when they have no name, or systemd's default one", async () => {
    for (const names of [undefined, "", "unknown:unknown", "relay.socket:relay.socket", ":smtp"]) {
      const { byName } = await take({
        ...FOR_US,
        LISTEN_FDS: "2",
        ...(names === undefined ? {} : { LISTEN_FDNAMES: names }),
      });
      assert.deepEqual(byName, { ...NONE, smtp: [3, 4] }, `names: ${names}`);
    }
  });

  it("are ignored when they are for another process", async () => {
    for (const variables of [{ LISTEN_PID: "1" }, {}, { LISTEN_PID: `${PID}0` }]) {
      const { byName } = await take({ ...variables, LISTEN_FDS: "2", LISTEN_FDNAMES: "x:y" });
      assert.deepEqual(byName, NONE);
    }
    assert.deepEqual((await take({ ...FOR_US, LISTEN_FDS: "0" })).byName, NONE);
  });

  it("are each refused with its number, its name and what is wrong", async () => {
    const { problems } = await take(
      { ...FOR_US, LISTEN_FDS: "4", LISTEN_FDNAMES: "smtp:submission:http:smtps" },
      {
        3: { type: "other", what: "an AF_UNIX socket" },
        6: { type: "other", what: "not open" },
      },
    );
    assert.equal(problems.length, 3);
    assert.match(problems[0]!, /socket 3 .*\(smtp\) is an AF_UNIX socket: it must be a TCP socket/);
    assert.match(
      problems[1]!,
      /socket 4 .*\(submission\): FileDescriptorName= must be smtp, smtps/,
    );
    assert.match(problems[2]!, /socket 6 .*\(smtps\) is not open/);
  });

  it("are refused when their number is malformed", async () => {
    for (const count of ["x", "-1", "3.5", "4294967296", "1025", ""]) {
      const { problems } = await take({ ...FOR_US, LISTEN_FDS: count });
      assert.match(problems.join(), /LISTEN_FDS ".*" must be a number/, count);
    }
  });

  it("are described by the system itself", async () => {
    const { loadLibc } = await import("../../src/runtime/libc.ts");
    const libc = await loadLibc();
    const { descriptor, port } = await handedOver();
    assert.deepEqual(libc.describe(descriptor), {
      type: "listening",
      hostname: "127.0.0.1",
      port,
    });
    assert.deepEqual(libc.describe(0).type, "other");
    assert.deepEqual(libc.describe(12345), { type: "other", what: "not open" });
    libc.closeOnExec(descriptor);
    const { readFileSync } = await import("node:fs");
    const flags = /flags:\s*0*(\d+)/.exec(
      readFileSync(`/proc/${process.pid}/fdinfo/${descriptor}`, "utf8"),
    )![1]!;
    assert.ok(parseInt(flags, 8) & 0o2000000, "O_CLOEXEC");
  });
});
