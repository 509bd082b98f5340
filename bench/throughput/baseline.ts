// What people would otherwise write: nodemailer's smtp-server and fetch with a cached token.
// Arguments: certificate, key, cloud's base URL, and a port, any without it. Prints its port.

import { readFileSync } from "node:fs";
import process from "node:process";
import { SMTPServer } from "smtp-server";

const [certificate, key, cloud, port] = process.argv.slice(2) as [
  string,
  string,
  string,
  string | undefined,
];
const tokens = new Map<string, { token: string; expires: number }>();

async function tokenFor(username: string, secret: string): Promise<string> {
  const cacheKey = `${username}\0${secret}`;
  const cached = tokens.get(cacheKey);
  if (cached !== undefined && cached.expires > Date.now()) return cached.token;
  const [tenant, client] = username.split("@") as [string, string];
  const response = await fetch(`${cloud}/entra/${tenant}/oauth2/v2.0/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: client,
      client_secret: secret,
      scope: "https://graph.microsoft.com/.default",
    }),
  });
  if (!response.ok) throw new Error("login failed");
  const { access_token, expires_in } = await response.json() as {
    access_token: string;
    expires_in: number;
  };
  tokens.set(cacheKey, { token: access_token, expires: Date.now() + expires_in * 1000 });
  return access_token;
}

const server = new SMTPServer({
  cert: readFileSync(certificate),
  key: readFileSync(key),
  authMethods: ["PLAIN", "LOGIN"],
  logger: false,
  onAuth({ username, password }, _session, callback) {
    tokenFor(username!, password!).then(
      () => callback(null, { user: `${username}\0${password}` }),
      callback,
    );
  },
  onData(stream, { envelope, user }, callback) {
    const chunks: Uint8Array[] = [];
    stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    stream.on("end", async () => {
      try {
        const [username, secret] = String(user).split("\0") as [string, string];
        const sender = envelope.mailFrom === false ? "" : envelope.mailFrom.address;
        const response = await fetch(
          `${cloud}/graph/v1.0/users/${encodeURIComponent(sender)}/sendMail`,
          {
            method: "POST",
            headers: {
              Authorization: `Bearer ${await tokenFor(username, secret)}`,
              "Content-Type": "text/plain",
            },
            body: Buffer.concat(chunks).toString("base64"),
          },
        );
        callback(response.status === 202 ? null : new Error(`Graph answered ${response.status}`));
      } catch (error) {
        callback(error as Error);
      }
    });
  },
});
server.listen(Number(port ?? 0), "127.0.0.1", () => {
  console.log((server.server.address() as { port: number }).port);
});
