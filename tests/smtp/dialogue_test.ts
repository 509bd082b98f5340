// Plays every dialogue script against the pure session, with the octets cut up in several ways.

import { describe, it } from "node:test";
import { type Connect, playDialogue, readDialogue, scriptNames } from "./dialogue.ts";
import { type Answers, SessionPeer } from "./session_peer.ts";

const connectTo = (answers: Answers): Connect => (options, implicitTls) =>
  new SessionPeer(options, implicitTls, answers);

for (const name of scriptNames()) {
  const dialogue = readDialogue(name);
  describe(dialogue.title, () => {
    it(`follows ${name}.txt`, async () => {
      await playDialogue(dialogue, connectTo("at once"));
    });

    it("is the same when replies to logins and messages are delayed", async () => {
      await playDialogue(dialogue, connectTo("when awaited"));
    });

    it("is the same when every octet arrives separately", async () => {
      await playDialogue(dialogue, connectTo("at once"), "octet by octet");
      await playDialogue(dialogue, connectTo("when awaited"), "octet by octet");
    });

    it("is the same when the client waits for nothing but TLS", async () => {
      await playDialogue(dialogue, connectTo("at once"), "all in one");
      await playDialogue(dialogue, connectTo("when awaited"), "all in one");
    });
  });
}
