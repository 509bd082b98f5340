// A file name for a part that is taken out of a message (RFC 2183 §2.3).

import { fileNameOf, type Part } from "./mime.ts";

/** Characters, UTF-16. */
const MAX_NAME = 255;

/** What a file is called by its type where the message gives it no name. */
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

/** The name that a part gives its content, made safe, or undefined where nothing is left of it. */
export function givenName(part: Part): string | undefined {
  const name = fileNameOf(part);
  return name === undefined ? undefined : cleanName(name);
}

/** @param number tells the attachments of a message that have no name apart */
export function attachmentName(part: Part, number: number): string {
  const isMessage = part.type.startsWith("message/");
  const name = givenName(part);
  if (name !== undefined) return isMessage ? withExtension(name, "eml") : name;
  return `attachment-${number}.${isMessage ? "eml" : EXTENSIONS[part.type] ?? "bin"}`;
}

function withExtension(name: string, extension: string): string {
  if (name.toLowerCase().endsWith(`.${extension}`)) return name;
  return shortened(`${name}.${extension}`);
}

/** Without path, control characters, and marks that turn the direction of writing around. */
function cleanName(name: string): string | undefined {
  const clean = name.toWellFormed()
    .replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, "")
    .replace(/^.*[/\\]/s, "")
    .trim();
  return clean === "" || clean === "." || clean === ".." ? undefined : shortened(clean);
}

/** The extension stays, and so do pairs of surrogates. */
function shortened(name: string): string {
  if (name.length <= MAX_NAME) return name;
  const [extension = ""] = /\.[^.\s]{1,15}$/.exec(name) ?? [];
  const stem = name.slice(0, MAX_NAME - extension.length).replace(/[\ud800-\udbff]$/, "");
  return stem + extension;
}
