// The limits of a message's structure, from the settings.

import type { MessageLimits } from "../message/prepare.ts";
import type { Settings } from "../settings/schema.ts";

export function messageLimits(settings: Settings): MessageLimits {
  return {
    header: settings.MAX_HEADER_SIZE,
    depth: settings.MAX_MIME_DEPTH,
    parts: settings.MAX_MIME_PARTS,
  };
}
