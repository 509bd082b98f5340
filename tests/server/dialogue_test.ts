// The dialogue scripts once more, over real sockets and real TLS.

import { describe, it } from "node:test";
import { playDialogue, readDialogue, scriptNames } from "../smtp/dialogue.ts";
import { SocketPeer } from "./socket_peer.ts";

for (const name of scriptNames()) {
  const dialogue = readDialogue(name);
  describe(`over a socket: ${dialogue.title}`, () => {
    it(`goes as ${name}.txt has it`, async () => {
      await playDialogue(dialogue, SocketPeer.connect);
    });

    // What a client sends ahead needs room besides its messages: with so little it would get a 421.
    if (dialogue.options.maxMemory < 100_000) return;
    it("goes the same when the client waits for nothing but TLS", async () => {
      await playDialogue(dialogue, SocketPeer.connect, "all in one");
    });
  });
}
