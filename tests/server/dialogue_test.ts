// The dialogue scripts again, over real sockets and real TLS.

import { describe, it } from "node:test";
import { playDialogue, readDialogue, scriptNames } from "../smtp/dialogue.ts";
import { SocketPeer } from "./socket_peer.ts";

for (const name of scriptNames()) {
  const dialogue = readDialogue(name);
  describe(`over a socket: ${dialogue.title}`, () => {
    it(`follows ${name}.txt`, async () => {
      await playDialogue(dialogue, SocketPeer.connect);
    });

    // Pipelined octets need room besides the messages: with so little, the client would get a 421.
    if (dialogue.options.maxMemory < 100_000) return;
    it("is the same when the client waits for nothing but TLS", async () => {
      await playDialogue(dialogue, SocketPeer.connect, "all in one");
    });
  });
}
