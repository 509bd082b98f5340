// Whether the servers of the ways out can be used: connection, TLS, and the relay's login. No message is sent.

import type { Account, Authorization } from "../accounts/account.ts";
import type { BackendName } from "../backend_name.ts";
import { isUntrusted } from "../graph/graph_errors.ts";
import { loginFor, serverOf, takesTokens } from "../relay/smtp_services.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { Settings } from "../settings/schema.ts";
import { replyText } from "../smtp/reply.ts";
import { codeOf, meaningOf } from "../smtp_backend/smtp_errors.ts";
import type { Login, MailClient, MailServer, ProbeResult } from "../smtp_client/mail_client.ts";
import { type Finding, finding } from "./finding.ts";
import type { Check } from "./run.ts";

export interface WayTools {
  readonly mail: Pick<MailClient, "probe">;
  /** Milliseconds for one conversation. */
  readonly timeout: number;
}

/** A check for each way out of the settings that is reached by SMTP. */
export function wayChecks(settings: Settings, tools: WayTools): readonly Check[] {
  return namesOf(settings).map((name) => ({
    subject: "way",
    deadline: tools.timeout + 5_000,
    async run() {
      const login = loginFor(settings, name);
      // A token needs a login of the check: see `checkWayLogin`.
      const tried: Login = login.type === "token" ? { type: "none" } : login;
      let result = await probe(settings, name, tried, tools);
      // On this machine, a server may offer its login after STARTTLS alone.
      if (login.type === "token" && !offersTokens(result)) {
        result = await probe(settings, name, tried, tools, "starttls");
      }
      if (typeof result === "string") return [finding("way.no-auth", result)];
      if (result.type !== "ready" || login.type !== "token" || offersTokens(result)) {
        return [judge(settings, name, result)];
      }
      const offered = result.extensions.get("AUTH") ?? "nothing";
      return [finding("way.no-auth", `${where(settings, name)} offers AUTH ${offered}`)];
    },
  }));
}

/**
 * The login as the mailbox with the app's token, on each way out of the account that takes one.
 *
 * @param mailbox that would send; undefined if it is not known
 */
export async function checkWayLogin(
  { settings, account, authorization, mailbox }: {
    readonly settings: Settings;
    readonly account: Account;
    readonly authorization: Authorization;
    readonly mailbox: string | undefined;
  },
  tools: WayTools,
): Promise<readonly Finding[]> {
  const names = namesOf(settings, account).filter((name) => takesTokens(settings, name));
  const findings: Finding[] = [];
  for (const name of names) {
    if (mailbox === undefined) {
      const what = `${where(settings, name)}: not tried: --from names the mailbox`;
      findings.push(finding("way.not-tried", what));
      continue;
    }
    const token = await authorization.token(cloudOf(settings).exchangeScope);
    if ("type" in token) {
      const what = `no token for ${
        cloudOf(settings).exchangeScope
      }: ${token.code}: ${token.detail}`;
      findings.push(finding("way.permission", what));
      continue;
    }
    const login: Login = { type: "token", username: mailbox, token: token.value };
    const result = await probe(settings, name, login, tools);
    findings.push(
      typeof result === "string"
        ? finding("way.no-auth", result)
        : judge(settings, name, result, mailbox),
    );
  }
  return findings;
}

/** Whether the login goes to Graph, so that its token's roles are judged. */
export function usesGraph(settings: Settings, { backends = settings.BACKEND }: Account): boolean {
  return backends.includes("graph");
}

function namesOf(settings: Settings, account?: Account): readonly BackendName[] {
  const names = new Set<BackendName>(account?.backends ?? settings.BACKEND);
  if (settings.LARGE_MESSAGES === "exchange") names.add("exchange");
  names.delete("graph");
  return [...names];
}

/** Whether it does not lack a login with a token, as far as it has come. */
function offersTokens(result: ProbeResult | string): boolean {
  if (typeof result === "string" || result.type !== "ready") return true;
  return /\b(?:XOAUTH2|OAUTHBEARER)\b/i.test(result.extensions.get("AUTH") ?? "");
}

async function probe(
  settings: Settings,
  name: BackendName,
  login: Login,
  { mail, timeout }: WayTools,
  tls?: MailServer["tls"],
): Promise<ProbeResult | string> {
  const server = serverOf(settings, name);
  if (typeof server === "string") return server;
  const asked = { ...server, ...(tls === undefined ? {} : { tls }) };
  return await mail.probe({ ...asked, account: "check", limit: { connections: 1 } }, login, {
    timeout,
  });
}

/** @param mailbox that the relay has logged in as, with a token */
function judge(
  settings: Settings,
  name: BackendName,
  result: ProbeResult,
  mailbox?: string,
): Finding {
  const at = where(settings, name);
  if (result.type === "ready") {
    const tls = result.conversation.tls ? "in TLS" : "without TLS, on this machine";
    const login = result.mechanism === undefined
      ? "without a login"
      : `after a login by ${result.mechanism}`;
    const as = mailbox === undefined ? "" : ` as ${mailbox}`;
    return finding("way.ok", `${at} takes mail ${tls}, ${login}${as}`);
  }
  if (result.type === "failed") {
    const { code, message, stage } = result;
    const what = `${at}: ${code}: ${message} (${stage})`;
    return finding(
      isUntrusted({ sent: false, code }) ? "way.certificate" : "way.unreachable",
      what,
    );
  }
  const { reply, stage, own } = result;
  if (own === "STARTTLS") return finding("way.no-tls", `${at} does not offer STARTTLS`);
  if (own !== undefined) return finding("way.no-auth", `${at}: ${replyText(reply)}`);
  const what = `${at} says ${codeOf(reply)}: ${replyText(reply)}`;
  if (stage !== "AUTH") return finding(reply.code < 500 ? "way.later" : "way.refused", what);
  if (codeOf(reply) === "SMTP 535 5.7.139") return finding("way.switched-off", what);
  if (meaningOf(reply, stage).next === "wait" || reply.code < 500) {
    return finding("way.later", what);
  }
  return mailbox === undefined
    ? finding("way.password", what)
    : finding("way.permission", `${what} (as ${mailbox})`);
}

function where(settings: Settings, name: BackendName): string {
  const server = serverOf(settings, name);
  return typeof server === "string" ? name : `${name}, ${server.hostname}:${server.port},`;
}
