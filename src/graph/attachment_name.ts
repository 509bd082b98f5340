// Chooses a file name for a part that is extracted from a message (RFC 2183 §2.3).

import { fileNamesOf, type Part } from "../message/mime.ts";

/** Characters, UTF-16. */
const MAX_NAME = 255;

/** The extension by type of a file without a name in the message. */
const EXTENSIONS: Readonly<Record<string, string>> = {
  "application/json": "json",
  "application/msword": "doc",
  "application/pdf": "pdf",
  "application/postscript": "ps",
  "application/rtf": "rtf",
  "application/vnd.ms-excel": "xls",
  "application/vnd.ms-powerpoint": "ppt",
  "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
  "application/xml": "xml",
  "application/zip": "zip",
  "audio/mpeg": "mp3",
  "audio/wav": "wav",
  "image/bmp": "bmp",
  "image/gif": "gif",
  "image/jpeg": "jpg",
  "image/png": "png",
  "image/svg+xml": "svg",
  "image/tiff": "tif",
  "image/webp": "webp",
  "text/calendar": "ics",
  "text/csv": "csv",
  "text/html": "html",
  "text/plain": "txt",
  "text/xml": "xml",
  "video/mp4": "mp4",
};

/**
 * The first usable name that a part has, made safe; or undefined.
 *
 * @param nearby charset labels for names without one, besides the part's own
 */
export function givenName(part: Part, nearby: readonly string[] = []): string | undefined {
  const names = fileNamesOf(part, nearby).map(cleanName).filter((name) => name !== "");
  return names.find((name) => !RESERVED.test(name)) ?? (names[0] && shortened(`_${names[0]}`));
}

/**
 * @param number distinguishes a message's attachments without a name
 * @param nearby as for {@link givenName}
 */
export function attachmentName(part: Part, number: number, nearby: readonly string[]): string {
  const isMessage = part.type.startsWith("message/");
  const name = givenName(part, nearby);
  if (name !== undefined) return isMessage ? withExtension(name, "eml") : name;
  return `attachment-${number}.${isMessage ? "eml" : EXTENSIONS[part.type] ?? "bin"}`;
}

/**
 * Names of devices, which Windows does not allow for files
 * (https://learn.microsoft.com/windows/win32/fileio/naming-a-file).
 */
const RESERVED = /^(?:con|prn|aux|nul|com[0-9\xb9\xb2\xb3]|lpt[0-9\xb9\xb2\xb3]) *(?:\.|$)/i;

function withExtension(name: string, extension: string): string {
  if (name.toLowerCase().endsWith(`.${extension}`)) return name;
  return shortened(`${name}.${extension}`);
}

/** The beginning of a path: `/…`, `C:\\…`, `../…`, `file://…`. Other slashes are in dates or mean "or". */
const PATH = /^(?:[A-Za-z]:|[a-z][a-z0-9+.-]+:[/\\]|\.{1,2})?[/\\]/i;

/**
 * Without path, control characters, and characters that are invisible or change the writing
 * direction; "" if nothing is left that could name a file.
 */
function cleanName(name: string): string {
  const clean = name.toWellFormed().replaceAll("\t", " ")
    .replace(/[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu, "")
    .trim();
  const last = PATH.test(clean) ? clean.replace(/^.*[/\\]/s, "").trim() : clean;
  // A name of dots only is a folder.
  return /^[. ]*$/.test(last) ? "" : shortened(last.replace(/[/\\]/g, "_"));
}

/** Keeps the extension, and does not split surrogate pairs. */
function shortened(name: string): string {
  if (name.length <= MAX_NAME) return name;
  const [extension = ""] = /\.[^.\s]{1,15}$/.exec(name) ?? [];
  const stem = name.slice(0, MAX_NAME - extension.length).replace(/[\ud800-\udbff]$/, "");
  return stem + extension;
}
