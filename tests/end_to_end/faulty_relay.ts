// `serve` with faults on demand, which a client selects by a command. They stand for unknown bugs
// in the places where one could end more than its own connection.

import { Buffer } from "node:buffer";
import { serve } from "../../src/commands/serve.ts";
import { SmtpConnection } from "../../src/server/connection.ts";
import { Session } from "../../src/smtp/session.ts";

const FAULTS: Readonly<Record<string, (connection: SmtpConnection) => void>> = {
  callback() {
    throw new Error("fault: callback");
  },
  timer() {
    setTimeout(() => {
      throw new Error("fault: timer");
    });
  },
  microtask() {
    queueMicrotask(() => {
      throw new Error("fault: microtask");
    });
  },
  rejection() {
    void Promise.reject(new Error("fault: rejection"));
  },
  tick(connection) {
    connection.tick = () => {
      throw new Error("fault: tick");
    };
  },
};

const { data } = SmtpConnection.prototype;
SmtpConnection.prototype.data = function (bytes) {
  const name = /^FAULT (\w+)/.exec(Buffer.from(bytes).toString("latin1"))?.[1];
  if (name !== undefined) FAULTS[name]?.(this);
  data.call(this, bytes);
};

const { receive } = Session.prototype;
Session.prototype.receive = function (bytes) {
  if (Buffer.from(bytes).toString("latin1").startsWith("FAULT session")) {
    throw new Error("fault: session");
  }
  return receive.call(this, bytes);
};

await serve(undefined);
