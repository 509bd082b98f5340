// Listens to a session, for people who want to read the dialogue.

import type { RawReply } from "./reply_reader.ts";

export interface DialogueObserver {
  /** @param text lines, without the last line end; `(credentials)` and `(the message)` stand for these */
  said(text: string): void;
  heard(reply: RawReply): void;
}
