// Uploads a large attachment in ranges of octets, one after the other. After an interruption, the
// service says where to resume.
//
// https://learn.microsoft.com/graph/api/attachment-createuploadsession and
// https://learn.microsoft.com/graph/outlook-large-attachments

import type { NotSent } from "../delivery/delivery.ts";
import type { HttpFailure, HttpResponse } from "../http/client.ts";
import type { Attachment } from "./extract_attachments.ts";
import { AttachmentReader } from "./attachment_reader.ts";
import type { GraphClient } from "./graph_client.ts";
import { type Draft, IMMUTABLE_ID, withoutPermission } from "./drafts.ts";
import { asciiJson, readObject } from "./json.ts";
import { failedAt, notSent } from "./not_sent.ts";
import { originIn, uploadUrl } from "./upload_url.ts";

/** Octets of a range: a request must be smaller than 4 MB. */
const RANGE = 3_840 * 1024;
/** Interruptions without progress between them after which an upload is given up. */
const MAX_BREAKS = 5;
/** Milliseconds before the second attempt to resume; each further pause is twice as long. */
const FIRST_PAUSE = 200;

/** @returns the reason if it could not be attached */
export async function uploadInSession(
  graph: GraphClient,
  draft: Draft,
  attachment: Attachment,
): Promise<NotSent | undefined> {
  const url = await createSession(graph, draft, attachment);
  if (!(url instanceof URL)) return url;
  const session = new UploadSession(graph, url, attachment);
  const failure = await session.run();
  return failure && failedAt("uploading an attachment", failure);
}

async function createSession(
  graph: GraphClient,
  draft: Draft,
  { name, contentType, contentId, inline, size }: Attachment,
): Promise<URL | NotSent> {
  const json = asciiJson({
    AttachmentItem: {
      attachmentType: "file",
      name,
      size,
      contentType,
      isInline: inline,
      ...(contentId === undefined ? {} : { contentId }),
    },
  });
  const result = await graph.request({
    method: "POST",
    url: new URL(`${draft.url}/attachments/createUploadSession`),
    headers: { "Content-Type": "application/json", ...IMMUTABLE_ID },
    body: { length: json.length, parts: () => [json] },
    authorized: true,
    submits: false,
  }, [201]);
  if (result.type === "failed") {
    const { outcome, result: response } = result;
    return failedAt("opening an upload session", sessionRefused(outcome, response));
  }
  const named = readObject(result.response.body)["uploadUrl"];
  const url = uploadUrl(named, draft.url);
  if (url !== undefined) return url;
  const outcome = notSent("UPLOAD_URL");
  return { ...outcome, detail: `${outcome.detail}: ${originIn(named)}` };
}

/** Codes of a service that does not know the request. */
const UNKNOWN_ACTION = /^(?:HTTP \d+|BadRequest|ResourceNotFound|NotImplemented|NotSupported)$/;

/** Some national clouds have no upload sessions: their Graph does not know the path. */
function sessionRefused(outcome: NotSent, result: HttpResponse | HttpFailure | undefined): NotSent {
  if (result?.type !== "response") return outcome;
  const { status } = result;
  if ([400, 404, 405, 501].includes(status) && UNKNOWN_ACTION.test(outcome.code)) {
    return notSent("UPLOAD_SESSION", outcome);
  }
  if (status === 404) return notSent("DRAFT_GONE", outcome);
  return withoutPermission(outcome, result) ?? outcome;
}

/** The ranges of one attachment. */
class UploadSession {
  readonly #graph: GraphClient;
  readonly #url: URL;
  readonly #size: number;
  readonly #reader: AttachmentReader;
  /** The first octet of the next range. */
  #next = 0;
  /** The octets that may have arrived: the service cannot ask for later ones. */
  #offered = 0;
  /** The most octets that are known to have arrived. */
  #reached = 0;
  #breaks = 0;

  constructor(graph: GraphClient, url: URL, attachment: Attachment) {
    this.#graph = graph;
    this.#url = url;
    this.#size = attachment.size;
    this.#reader = new AttachmentReader(attachment);
  }

  async run(): Promise<NotSent | undefined> {
    for (;;) {
      const step = await this.#put();
      if (step === "done") return undefined;
      if (step !== "next") return step;
    }
  }

  /** Sends a range, and sets the next one. */
  async #put(): Promise<"done" | "next" | NotSent> {
    const start = this.#next;
    const end = Math.min(start + RANGE, this.#size);
    this.#offered = Math.max(this.#offered, end);
    const result = await this.#graph.request({
      method: "PUT",
      url: this.#url,
      headers: {
        "Content-Type": "application/octet-stream",
        "Content-Range": `bytes ${start}-${end - 1}/${this.#size}`,
      },
      body: { length: end - start, parts: () => this.#reader.read(start, end) },
      authorized: false,
      submits: false,
    }, [200, 201]);
    if (result.type === "failed") {
      const { result: response } = result;
      const outcome = uploadRefused(result.outcome, response);
      return isBreak(response) ? await this.#resume(outcome) : outcome;
    }
    const { response } = result;
    if (response.status === 201) {
      return end === this.#size ? "done" : notSent("UPLOAD_ENDED");
    }
    const next = nextExpected(response);
    return next === undefined
      ? await this.#resume(notSent("UPLOAD_ANSWER"))
      : this.#goOn(next, false);
  }

  /** Asks where to resume. @param cause the outcome if that fails */
  async #resume(cause: NotSent): Promise<"next" | NotSent> {
    for (;;) {
      if (++this.#breaks > MAX_BREAKS) return cause;
      if (this.#breaks > 1) await this.#graph.pause(FIRST_PAUSE * 2 ** (this.#breaks - 2));
      const result = await this.#graph.request({
        method: "GET",
        url: this.#url,
        headers: {},
        authorized: false,
        submits: false,
      }, [200]);
      if (result.type === "failed") {
        if (isBreak(result.result)) continue;
        // Without a result the delivery's time is over; otherwise the first error is more useful.
        return result.result === undefined ? result.outcome : cause;
      }
      const next = nextExpected(result.response);
      return next === undefined ? cause : this.#goOn(next, true);
    }
  }

  /** Resumes where the service says, but not beyond octets that were sent. */
  #goOn(next: number, afterBreak: boolean): "next" | NotSent {
    if (next > this.#offered || next >= this.#size) {
      return notSent("UPLOAD_RANGE");
    }
    if (next > this.#reached) {
      this.#reached = next;
      this.#breaks = 0;
    } else if (!afterBreak && ++this.#breaks > MAX_BREAKS) {
      return notSent("UPLOAD_RANGE");
    }
    this.#next = next;
    return "next";
  }
}

/**
 * The upload address is not the mailbox: its 404 concerns the session and its 403 the address, and
 * neither is the message's fault. Only errors about size and quota, and temporary ones, keep their
 * meaning.
 */
function uploadRefused(outcome: NotSent, result: HttpResponse | HttpFailure | undefined): NotSent {
  if (result?.type !== "response" || /size|quota/i.test(outcome.code)) return outcome;
  const { code, enhanced } = outcome.reply;
  const stands = enhanced === "5.2.3" || enhanced === "5.3.4" ||
    code < 500 && enhanced !== "4.7.0";
  return stands ? outcome : notSent("UPLOAD_REFUSED", outcome);
}

/** Whether to ask how far the upload has come: no response, or one that does not reject the request. */
function isBreak(result: HttpResponse | HttpFailure | undefined): boolean {
  if (result === undefined) return false;
  if (result.type === "failure") return true;
  // 416 and 409: the service expects another octet.
  return result.status >= 500 || [408, 409, 416].includes(result.status);
}

/**
 * The start of the first range in `nextExpectedRanges`: `"2097152"`, `"0-"` or `"0-26"`. Outlook's
 * own API, which the upload address belongs to, capitalizes its names.
 */
function nextExpected({ body }: HttpResponse): number | undefined {
  const response = readObject(body);
  const ranges = response["nextExpectedRanges"] ?? response["NextExpectedRanges"];
  const first: unknown = Array.isArray(ranges) ? ranges[0] : undefined;
  const start = typeof first === "string"
    ? /^(\d{1,15})(?:-\d{0,15})?$/.exec(first)?.[1]
    : undefined;
  return start === undefined ? undefined : Number(start);
}
