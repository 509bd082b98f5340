/**
 * How many attachments a message has, for the icon in the list: from its structure, without decoding
 * anything. message_content.ts reads what the page shows of a message.
 */
import { dispositionOf, fieldBody, type Part, readMime } from "../../message/mime.ts";
import { ContentView } from "../../message/content_view.ts";

/** Files of a message, without images that belong to its HTML (`inline`, RFC 2183 §2.1). */
export function countAttachments(raw: Uint8Array): number {
  return countIn(readMime(new ContentView([raw])));
}

function countIn(part: Part): number {
  if (part.kind === "multipart") {
    return part.parts.reduce((sum, inner) => sum + countIn(inner), 0);
  }
  if (part.kind === "message") return 1;
  // Signed multiparts are not opened.
  if (part.type.startsWith("multipart/")) return 0;
  if (part.type.startsWith("text/")) return isFile(part) ? 1 : 0;
  return dispositionOf(part).value === "inline" ? 0 : 1;
}

/** Text is a body unless it says that it is a file. */
function isFile(part: Part): boolean {
  const { value } = dispositionOf(part);
  return value === "attachment" || (value !== "inline" && hasName(part));
}

/** RFC 2183 §2.3, or the type's own parameter; extended or in sections (RFC 2231), too. */
function hasName(part: Part): boolean {
  return ["content-disposition", "content-type"].some((field) =>
    /;\s{0,100}(?:file)?name[*\d]{0,8}\s{0,100}=/i.test(fieldBody(part, field) ?? "")
  );
}
