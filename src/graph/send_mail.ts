// `POST /v1.0/users/{id}/sendMail` with the message as MIME.
// https://learn.microsoft.com/graph/api/user-sendmail

import type { Backend, Outcome, Submission } from "../delivery/outcome.ts";
import type { HttpClient } from "../http/client.ts";
import type { Content } from "../smtp/content.ts";
import { reply } from "../smtp/reply.ts";
import { judgeAnswer, judgeFailure, type Verdict } from "./answers.ts";
import { base64Body } from "./base64_body.ts";

export interface GraphOptions {
  readonly http: HttpClient;
  /** Such as `https://graph.microsoft.com`. */
  readonly endpoint: URL;
  /** Milliseconds for one request. */
  readonly timeout: number;
  /** Octets of base64 in one request. */
  readonly requestLimit: number;
}

/** Microsoft Graph as the service that takes the mail. */
export class GraphBackend implements Backend {
  readonly #options: GraphOptions;
  readonly #base: string;

  constructor(options: GraphOptions) {
    this.#options = options;
    this.#base = options.endpoint.href.replace(/\/+$/, "");
  }

  async send({ id, account }: Submission, sender: string, message: Content): Promise<Outcome> {
    const { http, timeout, requestLimit } = this.#options;
    const body = base64Body(message);
    if (body.length > requestLimit) return tooLarge(body.length, requestLimit);
    const pending = account.token();
    const token = pending instanceof Promise ? await pending : pending;
    if ("type" in token) {
      // The login was good once; now it is not, or Entra cannot say. Nothing has been sent.
      const text = `${token.code}: ${token.detail}`;
      return {
        type: token.type,
        reply: token.type === "later" ? reply(451, "4.7.0", text) : reply(550, "5.7.0", text),
        ambiguous: false,
        code: token.code,
        detail: token.detail,
      };
    }
    const result = await http.request({
      method: "POST",
      url: new URL(`${this.#base}/v1.0/users/${encodeURIComponent(sender)}/sendMail`),
      headers: {
        Authorization: `Bearer ${token.value.reveal()}`,
        "Content-Type": "text/plain",
      },
      body,
      timeout,
    });
    if (result.type === "failure") return outcome(judgeFailure(result));
    if (result.status === 202) {
      account.confirm(token);
      const requestId = result.headers.get("request-id");
      return {
        type: "sent",
        reply: reply(250, "2.0.0", `OK id=${id}`),
        ...(requestId === undefined ? {} : { requestId }),
      };
    }
    if (result.status === 401 || result.status === 403) account.reject(token);
    return outcome(judgeAnswer(result));
  }
}

function outcome(verdict: Verdict): Outcome {
  return { ...verdict, type: verdict.reply.code < 500 ? "later" : "refused" };
}

function tooLarge(length: number, limit: number): Outcome {
  const detail = `${length} octets as base64; one request to Graph takes ${limit}`;
  return {
    type: "refused",
    reply: reply(552, "5.3.4", `Message is too large for Graph: ${detail}`),
    ambiguous: false,
    code: "GRAPH_REQUEST_LIMIT",
    detail,
  };
}
