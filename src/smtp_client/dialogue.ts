// Listens to a session, for people who want to read the dialogue.

import type { RawReply } from "./reply_reader.ts";

export interface DialogueObserver {
  /** @param text one line or several, without the last line end; credentials are masked */
  said(text: string): void;
  heard(reply: RawReply): void;
}
