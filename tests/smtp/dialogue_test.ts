// Plays every dialogue script against the pure session, with the octets cut up in several ways.

import { describe, it } from "node:test";
import { type Connect, playDialogue, readDialogue, scriptNames } from "./dialogue.ts";
import { type Answers, SessionPeer } from "./session_peer.ts";

const connectTo = (answers: Answers): Connect => (options, implicitTls) =>
  new SessionPeer(options, implicitTls, answers);

for (const name of scriptNames()) {
  const dialogue = readDialogue(name);
  describe(dialogue.title, () => {
    it(`goes as ${name}.txt has it`, async () => {
      await playDialogue(dialogue, connectTo("at once"));
    });

    it("goes the same when answers to logins and messages take their time", async () => {
      await playDialogue(dialogue, connectTo("when awaited"));
    });

    it("goes the same when every octet arrives on its own", async () => {
      await playDialogue(dialogue, connectTo("at once"), "octet by octet");
      await playDialogue(dialogue, connectTo("when awaited"), "octet by octet");
    });

    it("goes the same when the client waits for nothing but TLS", async () => {
      await playDialogue(dialogue, connectTo("at once"), "all in one");
      await playDialogue(dialogue, connectTo("when awaited"), "all in one");
    });
  });
}
