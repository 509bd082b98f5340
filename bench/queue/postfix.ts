// A Postfix of its own: STARTTLS, AUTH, and all mail goes to its hold queue.

import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const USER = "11111111-1111-1111-1111-111111111111";
const REALM = "22222222-2222-2222-2222-222222222222";
const PASSWORD = "secret";

export interface Postfix {
  readonly port: number;
  /** Deletes what it holds. */
  clear(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * @param directory on the disk whose speed counts
 * @throws Error if Postfix is not installed, or does not start
 */
export function startPostfix(
  directory: string,
  { cert, key }: { readonly cert: string; readonly key: string },
  port: number,
): Promise<Postfix> {
  const config = join(directory, "postfix");
  const sasl = join(config, "sasl");
  const spool = join(directory, "spool");
  const data = join(directory, "postfix-data");
  for (const path of [config, sasl, spool, data]) mkdirSync(path, { recursive: true });
  const owner = run("id", ["-u", "postfix"]).trim();
  chownSync(data, Number(owner), Number(run("id", ["-g", "postfix"]).trim()));
  for (let path = directory; path !== "/"; path = join(path, "..")) {
    // Its processes are another user.
    if (path.includes(".bench-queue-")) chmodSync(path, statSync(path).mode | 0o055);
  }
  const database = join(sasl, "sasldb2");
  writeFileSync(
    join(sasl, "smtpd.conf"),
    `pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: ${database}\n`,
  );
  run("saslpasswd2", ["-p", "-c", "-f", database, "-u", REALM, USER], PASSWORD);
  chownSync(database, Number(owner), 0);
  writeFileSync(
    join(config, "main.cf"),
    Object.entries({
      compatibility_level: "3.6",
      queue_directory: spool,
      data_directory: data,
      inet_interfaces: "127.0.0.1",
      mynetworks: "",
      myhostname: "bench.example",
      mydestination: "",
      alias_maps: "",
      smtpd_tls_cert_file: cert,
      smtpd_tls_key_file: key,
      smtpd_tls_security_level: "may",
      smtpd_tls_auth_only: "yes",
      smtpd_sasl_auth_enable: "yes",
      cyrus_sasl_config_path: sasl,
      smtpd_recipient_restrictions: "permit_sasl_authenticated, reject",
      smtpd_data_restrictions: "check_client_access static:HOLD",
      smtpd_client_connection_count_limit: "0",
      default_process_limit: "200",
      message_size_limit: "0",
    }).map(([name, value]) => `${name} = ${value}\n`).join(""),
  );
  writeFileSync(join(config, "master.cf"), masterConfig(port));
  // Makes what it lacks in its directories, and starts.
  run("postfix", ["-c", config, "start"]);
  const stop = () => run("postfix", ["-c", config, "stop"]);
  return Promise.resolve({
    port,
    clear() {
      run("postsuper", ["-c", config, "-d", "ALL"]);
      return Promise.resolve();
    },
    stop() {
      stop();
      return Promise.resolve();
    },
  });
}

function masterConfig(port: number): string {
  const services = [
    `127.0.0.1:${port} inet n - n - - smtpd`,
    "cleanup unix n - n - 0 cleanup",
    "qmgr unix n - n 300 1 qmgr",
    "tlsmgr unix - - n 1000? 1 tlsmgr",
    "rewrite unix - - n - - trivial-rewrite",
    "bounce unix - - n - 0 bounce",
    "defer unix - - n - 0 bounce",
    "trace unix - - n - 0 bounce",
    "verify unix - - n - 1 verify",
    "flush unix n - n 1000? 0 flush",
    "proxymap unix - - n - - proxymap",
    "smtp unix - - n - - smtp",
    "error unix - - n - - error",
    "retry unix - - n - - error",
    "anvil unix - - n - 1 anvil",
    "scache unix - - n - 1 scache",
    "postlog unix-dgram n - n - 1 postlogd",
  ];
  return services.join("\n") + "\n";
}

/** @returns what it printed. @throws Error if it fails */
function run(command: string, args: readonly string[], input?: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    ...(input === undefined ? {} : { input }),
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr || stdout}`);
  return stdout;
}
