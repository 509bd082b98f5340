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

    // All that it sends ahead needs room besides its messages.
    const skip = dialogue.options.maxMemory < 100_000;
    it("goes the same when the client waits for nothing but TLS", { skip }, async () => {
      await playDialogue(dialogue, SocketPeer.connect, "all in one");
    });
  });
}
